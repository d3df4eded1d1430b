#!/usr/bin/env python3
"""Whether the program, in the image's empty root, resolves names and reads the certificates that are there.

    hack/image-check.py IMAGE BUILDAH...     BUILDAH: the program, with the options of its storage

It asks a server on this machine for its AWS account, by a name that only a DNS server here knows. The server's certificate is
signed by nobody, so with the image's own certificates the program has to refuse it; where they could not be read, or the name
was not found, it says something else. With that certificate added to them it has to take the server's answer.
"""

import http.server
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

NAME = "aws.multiregion.test"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
# Of the whole network 127/8, this address is hardly taken by another DNS server.
RESOLVER = "127.77.0.53"
ANSWER = b"""<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code>
<Message>answered by the check</Message></Error></ErrorResponse>"""


class Aws(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(403)
        self.send_header("content-type", "text/xml")
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_):
        pass


def serve_aws(directory):
    """The port of a server, whose certificate is written to certificate.pem."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        + ["-keyout", key, "-out", certificate, "-subj", f"/CN={NAME}"]
        + ["-addext", f"subjectAltName=DNS:{NAME}", "-addext", "basicConstraints=critical,CA:FALSE"],
        check=True,
        capture_output=True,
    )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Aws)
    # A refused handshake is what is expected of the first run.
    server.handle_error = lambda *_: None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def serve_names(asked):
    """Answers for NAME with 127.0.0.1, and notes it; false where this port may not be opened, or is taken."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        server.bind((RESOLVER, 53))
    except OSError:
        return False
    wanted = b"".join(bytes([len(label)]) + label.encode() for label in NAME.split(".")) + b"\0"

    def serve():
        while True:
            query, client = server.recvfrom(512)
            end = query.find(0, 12) + 5
            if end < 17 or len(query) < end:
                continue
            name, kind = query[12 : end - 4], query[end - 4 : end - 2]
            found = name.lower() == wanted
            address = found and kind == b"\0\1"
            flags = b"\x85\x80" if found else b"\x85\x83"
            counts = b"\0\1" + (b"\0\1" if address else b"\0\0") + b"\0\0\0\0"
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton("127.0.0.1")
            server.sendto(query[:2] + flags + counts + query[12:end] + (answer if address else b""), client)
            asked.update([NAME] if address else [])

    threading.Thread(target=serve, daemon=True).start()
    return True


def main(image, buildah):
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        port, asked = serve_aws(directory), set()
        # buildah writes resolv.conf and hosts of its containers; over a volume at their place it may win.
        dns = serve_names(asked)
        names = f"--dns={RESOLVER}" if dns else f"--add-host={NAME}:127.0.0.1"
        made = subprocess.run([*buildah, "from", names, image], check=True, stdout=subprocess.PIPE, text=True)
        container = made.stdout.strip()

        def told(volumes):
            options = [
                "--env=AWS_ACCESS_KEY_ID=check",
                "--env=AWS_SECRET_ACCESS_KEY=check",
                "--env=AWS_REGION=us-east-1",
                f"--env=AWS_ENDPOINT_URL=https://{NAME}:{port}",
                # Of a proxy of this machine buildah tells its containers.
                f"--env=NO_PROXY={NAME}",
            ]
            for number, (path, text) in enumerate(volumes.items()):
                file = directory / str(number)
                file.write_text(text)
                # The image's user reads it.
                file.chmod(0o644)
                options.append(f"--volume={file}:{path}:ro")
            run = [*buildah, "run", "--isolation", "chroot", *options, container, "--"]
            run += ["/multiregion", "plan", "-f", "/app.yaml"]
            ended = subprocess.run(run, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
            return ended.stdout.strip()

        def expect(expected, volumes, why):
            text = told(volumes)
            if expected not in text:
                sys.exit(f"in the image {why}; instead of {expected} it says:\n{text}")

        app = {"/app.yaml": pathlib.Path("deploy/samples/minimal.yaml").read_text()}
        expect("UnknownIssuer", app, "no name is found, no certificates are, or anybody is trusted")
        own = {BUNDLE: (directory / "certificate.pem").read_text()}
        expect("InvalidClientTokenId", app | own, f"{BUNDLE} is not what is trusted")
        if dns and not asked:
            sys.exit("in the image the name was found, but not by DNS")
        subprocess.run([*buildah, "rm", container], check=True, stdout=subprocess.DEVNULL)
        print(f"network: names (by {'DNS' if dns else '/etc/hosts'}) and certificates are found in the image")


main(sys.argv[1], sys.argv[2:])
