#!/usr/bin/env python3
"""Writes what a program is made of, as SPDX 2.3 in JSON: the program, the Swift packages that it may contain, and Debian's packages.

    sbom.py --name NAME --version VERSION --commit COMMIT --created TIME --program PATH --root FOLDER [--packages FILE]

--root is the folder with Package.resolved; --packages what rootfs.py printed.
"""

import argparse
import hashlib
import json
import os
import re
from urllib.parse import quote


def licence(root, identity):
    """The licence of a package whose source is here, by its own words."""
    for name in ("LICENSE.txt", "LICENSE", "LICENSE.md"):
        path = os.path.join(root, ".build/checkouts", identity, name)
        if os.path.exists(path):
            with open(path, errors="replace") as file:
                text = file.read()
            if "Apache License" in text:
                return "Apache-2.0 WITH Swift-exception" if "Runtime Library Exception" in text else "Apache-2.0"
            if "Permission is hereby granted, free of charge" in text:
                return "MIT"
    return "NOASSERTION"


def package(name, version, url, kind, declared="NOASSERTION", **more):
    return {
        "SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", f"{kind}-{name}"), "name": name, "versionInfo": version,
        "downloadLocation": url or "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "NOASSERTION",
        "licenseDeclared": declared, "copyrightText": "NOASSERTION", **more,
    }


def purl(text):
    return {"externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": text}]}


def sha256(value):
    return {"checksums": [{"algorithm": "SHA256", "checksumValue": value}]}


def main():
    parser = argparse.ArgumentParser()
    for option in ("name", "version", "commit", "created", "program", "root"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--packages")
    args = parser.parse_args()

    with open(args.program, "rb") as file:
        program = hashlib.sha256(file.read()).hexdigest()
    comment = {"sourceInfo": f"commit {args.commit}"} if args.commit else {}
    packages = [
        package(args.name, args.version, None, "program", "Apache-2.0", primaryPackagePurpose="APPLICATION", **sha256(program), **comment)
    ]
    # Its version is the toolchain's, which nothing in a stripped program tells.
    packages.append(package("swift-runtime", "NOASSERTION", "https://www.swift.org", "swift", "Apache-2.0 WITH Swift-exception"))
    resolved = os.path.join(args.root, "Package.resolved")
    if os.path.exists(resolved):
        with open(resolved) as file:
            for pin in sorted(json.load(file)["pins"], key=lambda x: x["identity"]):
                version, url = pin["state"].get("version", pin["state"]["revision"]), pin["location"]
                place = re.sub(r"\.git$", "", re.sub(r"^\w+://", "", url))
                packages.append(
                    package(pin["identity"], version, f"git+{url}@{pin['state']['revision']}" if "://" in url else None, "swift",
                            licence(args.root, pin["identity"]), **purl(f"pkg:swift/{place}@{quote(version)}"))
                )
    if args.packages:
        with open(args.packages) as file:
            for x in json.load(file):
                packages.append(
                    package(x["name"], x["version"], x["url"], "deb", **sha256(x["sha256"]), supplier="Organization: Debian",
                            **purl(f"pkg:deb/debian/{quote(x['name'])}@{quote(x['version'])}?arch={x['architecture']}"))
                )
    first = packages[0]["SPDXID"]
    document = {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"{args.name}-{args.version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/{args.name}-{args.version}-{program[:32]}",
        "creationInfo": {"created": args.created, "creators": ["Tool: scripts/image.d/sbom.py"]},
        "packages": packages,
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": first}]
        + [
            {"spdxElementId": first, "relatedSpdxElement": x["SPDXID"],
             "relationshipType": "STATIC_LINK" if x["SPDXID"].startswith("SPDXRef-swift") else "DEPENDS_ON"}
            for x in packages[1:]
        ],
    }
    print(json.dumps(document, indent=1))


main()
