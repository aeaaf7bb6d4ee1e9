#!/usr/bin/env python3
"""Packs folders as the layers of an image: a tar with an OCI layout, which `docker load`, `ctr image import`, podman and skopeo take.

    oci.py --output FILE --name NAME:TAG --architecture amd64 --epoch SECONDS --config JSON --layer FOLDER…

The same files make the same bytes: names are sorted, owners and times are fixed (root; the epoch), modes are those of the
programs and files. Docker before version 25 reads `manifest.json`, everybody else `index.json`; both name the same blobs.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import stat
import tarfile


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def entry(name, epoch, mode, kind=tarfile.REGTYPE, size=0):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode, info.mtime = kind, size, mode, epoch
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def packed(folder, epoch):
    """A folder as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        names = []
        for top, folders, files in os.walk(folder):
            names += [os.path.relpath(os.path.join(top, x), folder) for x in folders + files]
        for name in sorted(names):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                info = entry(name, epoch, 0o777, tarfile.SYMTYPE)
                info.linkname = os.readlink(path)
                tar.addfile(info)
            elif stat.S_ISDIR(status.st_mode):
                tar.addfile(entry(name, epoch, 0o1777 if name == "tmp" else 0o755, tarfile.DIRTYPE))
            else:
                mode = 0o755 if status.st_mode & 0o111 else 0o644
                with open(path, "rb") as file:
                    tar.addfile(entry(name, epoch, mode, size=status.st_size), file)
    return buffer.getvalue()


def compressed(data):
    buffer = io.BytesIO()
    # No name and no time in the header.
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=6, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()


def encoded(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--epoch", type=int, required=True)
    parser.add_argument("--created", required=True)
    parser.add_argument("--config", type=json.loads, required=True)
    parser.add_argument("--layer", action="append", required=True)
    args = parser.parse_args()

    blobs, layers, contents, history = {}, [], [], []

    def blob(data, kind):
        name = digest(data)
        blobs[name] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": name, "size": len(data)}

    for folder in args.layer:
        tar = packed(folder, args.epoch)
        contents.append(digest(tar))
        layers.append(blob(compressed(tar), "layer.v1.tar+gzip"))
        history.append({"created": args.created, "created_by": "scripts/image", "comment": os.path.basename(folder)})
    config = blob(
        encoded(
            {
                "architecture": args.architecture, "os": "linux", "created": args.created, "config": args.config,
                "rootfs": {"type": "layers", "diff_ids": contents}, "history": history,
            }
        ),
        "config.v1+json",
    )
    manifest = blob(
        encoded(
            {
                "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": layers,
                "annotations": args.config["Labels"],
            }
        ),
        "manifest.v1+json",
    )
    tag = args.name.rsplit(":", 1)[1]
    full = args.name if "/" in args.name else f"docker.io/library/{args.name}"
    manifest |= {
        "platform": {"architecture": args.architecture, "os": "linux"},
        "annotations": {"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": full},
    }
    path = lambda of: "blobs/" + of["digest"].replace(":", "/")
    files = {"blobs/" + name.replace(":", "/"): data for name, data in blobs.items()}
    files["oci-layout"] = encoded({"imageLayoutVersion": "1.0.0"})
    files["index.json"] = encoded({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]})
    files["manifest.json"] = encoded([{"Config": path(config), "RepoTags": [args.name], "Layers": [path(x) for x in layers]}])
    with tarfile.open(args.output + ".new", mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in ("blobs", "blobs/sha256"):
            tar.addfile(entry(folder, args.epoch, 0o755, tarfile.DIRTYPE))
        for name, data in sorted(files.items()):
            tar.addfile(entry(name, args.epoch, 0o644, size=len(data)), io.BytesIO(data))
    os.rename(args.output + ".new", args.output)
    print(manifest["digest"])


main()
