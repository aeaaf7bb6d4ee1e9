#!/usr/bin/env python3
"""Writes the licences of all that is linked into the programs, each text once: our own, those of the Swift packages, and Swift's.

    copyright.py ROOT      ROOT is the package's folder; the sources of the others are in .build/checkouts
"""

import glob
import os
import re
import sys

# Debian has this text once, and wants it nowhere else; images bring it from there.
APACHE = re.compile(r"^[ \t]*Apache License\s+Version 2\.0, January 2004.*?END OF TERMS AND CONDITIONS"
                    r"(\s+APPENDIX: How to apply.*?limitations under the License\.)?", re.S | re.M)
POINTER = "Apache License, Version 2.0: see /usr/share/common-licenses/Apache-2.0"


def main():
    root = sys.argv[1]
    texts = {}
    for folder in [root, *sorted(glob.glob(os.path.join(root, ".build/checkouts/*")))]:
        name = "nsm-agent" if folder == root else os.path.basename(folder)
        found = sorted(x for pattern in ("LICEN[SC]E*", "NOTICE*", "Sources/CNIOBoringSSL/LICENSE", "Sources/CCryptoBoringSSL/LICENSE")
                       for x in glob.glob(os.path.join(folder, pattern)) if os.path.isfile(x))
        for path in found:
            with open(path, errors="replace") as file:
                texts.setdefault(APACHE.sub(POINTER, file.read()).strip("\n"), []).append(f"{name} ({os.path.relpath(path, folder)})")
    print("This package contains nsm-agent, and, linked into its programs, the software named below. The Swift runtime\n"
          "(https://www.swift.org) is linked in as well: Apache License 2.0 with the Runtime Library Exception.\n")
    print("Copyright: the authors of each.")
    for text, names in texts.items():
        print("\n" + "=" * 100 + "\n" + "\n".join(names) + "\n" + "=" * 100 + "\n\n" + text)


main()
