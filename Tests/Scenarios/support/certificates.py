"""Authorities and certificates of servers, by openssl."""

import subprocess

from harness import WORK, write


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=WORK)


class Authority:
    """Signs certificates. `path`: its own one."""

    def __init__(self, name):
        self.name, self.path = name, f"{WORK}/{name}.crt"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")

    @property
    def text(self):
        with open(self.path) as file:
            return file.read()

    def issue(self, name, *hosts):
        """Certificate and key of a server that is found under these addresses; without any, of a client."""
        base = f"{self.name}-{name}"
        names = ",".join(f"IP:{h}" if h.replace(".", "").isdigit() or ":" in h else f"DNS:{h}" for h in hosts)
        usage = f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n" if hosts else "extendedKeyUsage=clientAuth\n"
        extensions = write(f"{base}.ext", usage)
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{base}.key", "-out", f"{base}.csr")
        openssl("x509", "-req", "-in", f"{base}.csr", "-CA", f"{self.name}.crt", "-CAkey", f"{self.name}.key",
                "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", f"{base}.crt")
        return f"{WORK}/{base}.crt", f"{WORK}/{base}.key"
