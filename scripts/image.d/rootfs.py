#!/usr/bin/env python3
"""Makes the files of an image: a program, and of Debian's packages the libraries that it needs and what else is asked for.

    rootfs.py --program PATH --packages FOLDER --architecture amd64 --base FOLDER [--filters]
    rootfs.py --packages FOLDER --architecture amd64 --prepare

Needs no root: packages are downloaded with apt-get (those that are in --packages are used as they are, when apt knows the same
ones), and only unpacked. --base gets all that is Debian's; what is ours is another layer, so that a new version is small. --filters:
with nft and iptables. --prepare: only downloads. Prints the packages of which something was taken, as JSON.
"""

import argparse
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

# Packages whose libraries any build of our programs may need, and those that bring data.
LIBRARIES = ["libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libmnl0", "libnl-3-200", "libnl-route-3-200", "libyaml-0-2"]
DATA = {
    "ca-certificates": [],
    "netbase": ["etc/protocols", "etc/services"],
    "iproute2": ["etc/iproute2/*"],
    "base-files": ["usr/lib/os-release", "etc/debian_version", "usr/share/common-licenses/*"],
}
FILTERS = {
    "nftables": ["usr/sbin/nft"],
    "iptables": ["usr/sbin/xtables-nft-multi", "usr/sbin/ip*tables-nft*", "usr/lib/*/xtables/lib*.so"],
}
# What is a library's package, or holds the licence of one.
FOLLOWED = re.compile(r"(lib\S+|zlib1g|gcc-[0-9]+-base)$")


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


class Packages:
    """Debian's packages, downloaded when they are asked for."""

    def __init__(self, folder, architecture):
        self.folder, self.architecture = folder, architecture
        self.scratch = tempfile.mkdtemp()
        self.trees, self.facts = {}, {}

    def get(self, *names):
        """Downloads and unpacks packages."""
        names = [x for x in names if x not in self.trees]
        if not names:
            return
        # What apt would take, with its hash: apt has checked the signatures of what it says.
        for line in run("apt-get", "download", "--print-uris", *(f"{x}:{self.architecture}" for x in names)).splitlines():
            url, file, _, digest = line.split()[:4]
            name = file.split("_")[0]
            path = os.path.join(self.folder, file)
            if not os.path.exists(path) or self.sum(path) != digest.split(":")[1]:
                print(f"==> downloading {file}", file=sys.stderr)
                run("apt-get", "download", "-q=2", "-o", "APT::Sandbox::User=root", f"{name}:{self.architecture}", cwd=self.folder)
            if self.sum(path) != digest.split(":")[1]:
                sys.exit(f"{path} is not what apt knows")
            tree = os.path.join(self.scratch, name)
            run("dpkg-deb", "-x", path, tree)
            control = run("dpkg-deb", "-f", path)
            fields = dict(re.findall(r"^([A-Z][\w-]*): *(.*)$", control, re.M))
            self.trees[name] = tree
            self.facts[name] = {
                "name": name, "version": fields["Version"], "architecture": fields["Architecture"], "sha256": self.sum(path),
                "source": fields.get("Source", name).split()[0], "url": url.strip("'"), "depends": fields.get("Depends", ""),
                "control": control,
            }

    @staticmethod
    def sum(path):
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def follow(self, names):
        """Gets packages, and the packages of the libraries that these need."""
        names = list(names)
        while names:
            self.get(*names)
            depends = ",".join(self.facts[x]["depends"] for x in names)
            others = {x.split("|")[0].split("(")[0].strip().split(":")[0] for x in depends.split(",")}
            names = sorted(x for x in others if FOLLOWED.match(x) and x not in self.trees)


def needed(path):
    """The libraries that a program or library names."""
    return re.findall(r"\(NEEDED\).*\[(.*)\]", subprocess.run(["readelf", "-dW", path], capture_output=True, text=True).stdout)


def interpreter(path):
    found = re.search(r"interpreter: (.*)\]", run("readelf", "-lW", path))
    return found and found[1]


class Image:
    def __init__(self, packages, base):
        self.packages, self.base = packages, base
        self.used = set()
        self.pending = []

    def place(self, source, target, package=None):
        """Copies a file as what it is, or the link that it is; a link out of its package becomes the file."""
        path = os.path.join(self.base, target)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.islink(source) and "/" not in os.readlink(source):
            if not os.path.lexists(path):
                os.symlink(os.readlink(source), path)
        else:
            shutil.copyfile(source, path)
            os.chmod(path, 0o755 if os.stat(source).st_mode & 0o111 else 0o644)
            self.pending.append(path)
        if package:
            self.used.add(package)

    def take(self, package, patterns):
        tree = self.packages.trees[package]
        for pattern in patterns:
            found = sorted(x for x in glob.glob(os.path.join(tree, pattern)) if not os.path.isdir(x))
            if not found:
                sys.exit(f"{package} has no {pattern}")
            for source in found:
                self.place(source, os.path.relpath(source, tree), package)

    def libraries(self, program):
        """Everything that the program, and what was placed so far, needs."""
        self.pending.append(program)
        done = set()
        while self.pending:
            for library in needed(self.pending.pop()):
                if library not in done:
                    done.add(library)
                    self.library(library, program)

    def library(self, name, program):
        for package, tree in sorted(self.packages.trees.items()):
            for source in (x for pattern in ("lib/*", "usr/lib/*") for x in glob.glob(os.path.join(tree, pattern, name))):
                real = os.path.realpath(source)
                where = os.path.relpath(os.path.dirname(real), tree)
                self.place(real, os.path.join("" if where.startswith("usr/") else "usr", where, name), package)
                return
        # Not of Debian: as the runtime of Swift in a debug build.
        found = re.search(rf"{re.escape(name)} => (/\S+)", run("ldd", program))
        if not found:
            sys.exit(f"{name} is in no package, and not here either")
        print(f"==> {name} is from {os.path.dirname(found[1])}, and of no package", file=sys.stderr)
        self.place(os.path.realpath(found[1]), f"usr/lib/{os.path.basename(self.triplet())}/{name}")

    def triplet(self):
        return next(iter(glob.glob(os.path.join(self.packages.trees["libmnl0"], "usr/lib/*"))))

    def certificates(self):
        tree = self.packages.trees["ca-certificates"]
        target = os.path.join(self.base, "etc/ssl/certs/ca-certificates.crt")
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w") as file:
            for path in sorted(glob.glob(os.path.join(tree, "usr/share/ca-certificates/mozilla/*.crt"))):
                with open(path) as certificate:
                    file.write(certificate.read().rstrip("\n") + "\n")
        self.used.add("ca-certificates")

    def papers(self):
        """The licence of each package of which something was taken, and what scanners read."""
        for package in sorted(self.used):
            doc = os.path.join(self.packages.trees[package], "usr/share/doc", package)
            if os.path.islink(doc):
                owner = os.path.basename(os.readlink(doc))
                doc = os.path.join(self.packages.trees[owner], "usr/share/doc", owner)
            self.place(os.path.join(doc, "copyright"), f"usr/share/doc/{package}/copyright")
            path = os.path.join(self.base, "var/lib/dpkg/status.d", package)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(self.packages.facts[package]["control"])
        self.pending.clear()


def text(root, path, content):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(content)


def main():
    parser = argparse.ArgumentParser()
    for option in ("program", "packages", "base"):
        parser.add_argument(f"--{option}", required=option == "packages")
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--filters", action="store_true")
    parser.add_argument("--prepare", action="store_true")
    args = parser.parse_args()
    os.makedirs(args.packages, exist_ok=True)
    packages = Packages(args.packages, args.architecture)
    try:
        filters = FILTERS if args.filters or args.prepare else {}
        packages.follow([*LIBRARIES, *filters])
        packages.get(*DATA)
        if args.prepare:
            return
        image = Image(packages, args.base)
        for folder in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "run/netns", "run/nsm-agent", "var/lib/nsm-agent", "tmp", "root"):
            os.makedirs(os.path.join(args.base, folder), exist_ok=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            os.symlink(f"usr/{name}", os.path.join(args.base, name))
        os.symlink("../run", os.path.join(args.base, "var/run"))
        for package, patterns in {**DATA, **filters}.items():
            image.take(package, patterns)
        os.symlink("../usr/lib/os-release", os.path.join(args.base, "etc/os-release"))
        image.certificates()
        image.libraries(args.program)
        # The loader is found by the path that the program names.
        loader = interpreter(args.program)
        target = os.path.join(args.base, "usr", loader.lstrip("/"))
        if not os.path.exists(target):
            where = glob.glob(os.path.join(args.base, "usr/lib/*", os.path.basename(loader)))
            os.symlink(os.path.relpath(where[0], os.path.dirname(target)), target)
        text(args.base, "etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n"
             "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n")
        text(args.base, "etc/group", "root:x:0:\nnonroot:x:65532:\nnogroup:x:65534:\n")
        text(args.base, "etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n")
        image.papers()
        hidden = {"control", "depends"}
        print(json.dumps([{k: v for k, v in packages.facts[x].items() if k not in hidden} for x in sorted(image.used)], indent=1))
    finally:
        shutil.rmtree(packages.scratch, ignore_errors=True)


main()
