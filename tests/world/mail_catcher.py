#!/usr/bin/env python3
"""An SMTP server for tests: keeps each mail as FOLDER/NNNN-recipient.eml.

  mail_catcher.py --port 0 --folder DIR      prints {"port": N}, then serves until SIGTERM
"""
import argparse, asyncio, itertools, json, os, signal
from aiosmtpd.smtp import SMTP


class Keep:
    def __init__(self, folder):
        self.folder = folder
        self.numbers = itertools.count(1)

    async def handle_DATA(self, server, session, envelope):
        for recipient in envelope.rcpt_tos:
            name = "%04d-%s.eml" % (next(self.numbers), recipient.replace("/", "_"))
            aside = os.path.join(self.folder, name + ".new")
            with open(aside, "wb") as f:
                f.write(envelope.content)
            os.rename(aside, os.path.join(self.folder, name))  # a reader never sees half a mail
        return "250 OK"


async def serve(o):
    os.makedirs(o.folder, exist_ok=True)
    loop = asyncio.get_running_loop()
    keep = Keep(o.folder)
    server = await loop.create_server(lambda: SMTP(keep, enable_SMTPUTF8=True, loop=loop), "127.0.0.1", o.port)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await ended.wait()


ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument("--port", type=int, default=0)
ap.add_argument("--folder", required=True)
asyncio.run(serve(ap.parse_args()))
