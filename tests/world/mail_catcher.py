#!/usr/bin/env python3
"""Catch mails for tests and demonstrations: a real SMTP server (aiosmtpd) that stores mails as files.

  python3 mail_catcher.py --folder DIR [--port 0] [--starttls | --tls] [--certificate PEM --key PEM]
                          [--auth USER:PASSWORD] [--login-only] [--bare] [--reject-sender ADDRESS]... [--reject-recipient ADDRESS]...
                          [--rejection "550 5.1.1 No such user"]
  python3 mail_catcher.py --many SOCKET

Listens on 127.0.0.1, and then prints one JSON line, {"port": 40123, "pid": 4711}. Each accepted mail becomes
DIR/NNNN-<recipient>.eml, one file per recipient, complete as soon as the file exists. The envelope comes first, as
X-Envelope-From and X-Envelope-To, followed by the unchanged mail.

Ends on SIGTERM, on SIGINT and when its parent process is gone (checked every half second, because Linux sends the signal
for a parent's death already when the parent's *thread* ends).

With --many, forks a catcher for each connection to the unix socket SOCKET, in a tenth of the time that Python takes to start. A
connection begins with the options, a JSON list in one line; the answer is the line above. The catcher ends when the other side
closes the connection, and closes its own side when nobody listens any more.

aiosmtpd is installed from PyPI at the first run, into a separate virtual environment: $MAIL_VENV, or
~/.cache/matrix-register-bot/mail-venv. Python 3.9 or newer.
"""
import argparse
import asyncio
import fcntl
import json
import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import warnings

VENV = os.environ.get("MAIL_VENV") or os.path.expanduser("~/.cache/matrix-register-bot/mail-venv")
REQUIREMENT = "aiosmtpd==1.4.6"


def run_in_own_environment():
    """Restart with the interpreter that has aiosmtpd; install it if necessary (one process at a time)."""
    python = os.path.join(VENV, "bin", "python")
    if os.path.abspath(sys.executable) == os.path.abspath(python):
        sys.exit("mail_catcher: aiosmtpd is missing in %s; remove that folder and start again" % VENV)
    os.makedirs(os.path.dirname(VENV), exist_ok=True)
    with open(VENV + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        probe = [python, "-c", "import aiosmtpd"]
        if not os.path.exists(python) or subprocess.run(probe, stderr=subprocess.DEVNULL).returncode:
            subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", REQUIREMENT],
                           check=True, stdout=sys.stderr)
    os.execv(python, [python] + sys.argv)


try:
    from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
except ImportError:
    run_in_own_environment()


class Keeper:
    """How the server handles recipients and mails."""

    def __init__(self, folder, senders, rejected, rejection):
        self.folder, self.senders, self.rejected, self.rejection = folder, senders, rejected, rejection
        os.makedirs(folder, exist_ok=True)
        self.number = max([int(name[:4]) for name in os.listdir(folder) if re.match(r"\d{4}-", name)], default=0)

    async def handle_MAIL(self, server, session, envelope, address, options):
        if address.lower() in self.senders:
            return "553 5.7.1 Sender address rejected: not owned by user"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.lower() in self.rejected:
            return self.rejection
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):
        for recipient in envelope.rcpt_tos:
            self.number += 1
            top = "X-Envelope-From: %s\r\nX-Envelope-To: %s\r\n" % (envelope.mail_from, recipient)
            self.keep("%04d-%s.eml" % (self.number, re.sub(r"[^\w.@+-]", "_", recipient)), top.encode() + envelope.content)
        return "250 2.0.0 Ok"

    def keep(self, name, content):
        aside = os.path.join(self.folder, name + ".new")  # no .eml before it is complete
        with open(aside, "wb") as file:
            file.write(content)
        os.rename(aside, os.path.join(self.folder, name))


def authenticator(expected):
    def check(server, session, envelope, mechanism, data):
        right = isinstance(data, LoginPassword) and (data.login + b":" + data.password).decode() == expected
        return AuthResult(success=right, handled=False)
    return check


class BareSMTP(SMTP):
    """Answers with bare codes, except for the list of extensions."""

    async def push(self, status):
        text = status if isinstance(status, str) else status.decode()
        offers = text.startswith("250-") and re.match(r"(STARTTLS|AUTH)\b", text[4:])
        await super().push(text if offers else text[:4].rstrip())


def server_options(o):
    options = {"hostname": "mail-catcher.test", "enable_SMTPUTF8": False}
    if o.login_only:
        options.update(auth_exclude_mechanism=["PLAIN"])
    if o.auth:
        options.update(authenticator=authenticator(o.auth), auth_required=True, auth_require_tls=o.starttls)
    if o.starttls:
        options.update(tls_context=certificate(o), require_starttls=True)
    return options


def certificate(o):
    if not o.certificate:
        sys.exit("mail_catcher: --tls and --starttls need --certificate and --key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(o.certificate, o.key)
    return context


async def until_the_end(parent):
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    while not ended.is_set() and os.getppid() == parent:
        try:
            await asyncio.wait_for(ended.wait(), 0.5)
        except asyncio.TimeoutError:
            pass


async def serve(o, output, end):
    """Serves until `end` returns."""
    lower = lambda addresses: {address.lower() for address in addresses}
    keeper = Keeper(o.folder, lower(o.reject_sender), lower(o.reject_recipient), o.rejection)
    options = server_options(o)
    server = await asyncio.get_running_loop().create_server(
        lambda: (BareSMTP if o.bare else SMTP)(keeper, **options), "127.0.0.1", o.port, ssl=certificate(o) if o.tls else None)
    print(json.dumps({"port": server.sockets[0].getsockname()[1], "pid": os.getpid()}), file=output, flush=True)
    await end()
    server.close()


def serve_many(path, parent):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the catchers
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path + ".new")
    listener.listen(100)
    os.rename(path + ".new", path)  # whoever sees the path can connect
    listener.settimeout(0.5)
    while os.getppid() == parent:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        if os.fork() == 0:
            listener.close()
            return serve_connection(connection)
        connection.close()


def serve_connection(connection):
    connection.settimeout(None)
    stream = connection.makefile("rw")
    o = options_parser().parse_args(json.loads(stream.readline()))

    async def until_closed():
        closed = asyncio.Event()
        asyncio.get_running_loop().add_reader(connection, closed.set)
        await closed.wait()

    asyncio.run(serve(o, stream, until_closed))


def options_parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", help="where the mails go")
    parser.add_argument("--many", metavar="SOCKET", help="one catcher for each connection")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--starttls", action="store_true", help="mails only after STARTTLS")
    parser.add_argument("--tls", action="store_true", help="TLS from the first byte")
    parser.add_argument("--certificate", help="PEM file, the server's first")
    parser.add_argument("--key", help="PEM file")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="mails only after this login")
    parser.add_argument("--login-only", action="store_true", help="AUTH LOGIN, and not PLAIN")
    parser.add_argument("--bare", action="store_true", help="answers are codes without a text")
    parser.add_argument("--reject-sender", action="append", default=[], metavar="ADDRESS")
    parser.add_argument("--reject-recipient", action="append", default=[], metavar="ADDRESS")
    parser.add_argument("--rejection", default="550 5.1.1 No such user here", help="what a rejected recipient is told")
    return parser


def main():
    parent = os.getppid()
    warnings.simplefilter("ignore")  # logins without TLS are what is wanted here
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    parser = options_parser()
    o = parser.parse_args()
    if o.many:
        return serve_many(o.many, parent)
    if not o.folder:
        parser.error("--folder is missing")
    asyncio.run(serve(o, sys.stdout, lambda: until_the_end(parent)))


if __name__ == "__main__":
    main()
