#!/usr/bin/env python3
"""Starts many Synapses without loading each of them, which takes two seconds of processor time: a process that has loaded Synapse
forks for each of them.

  VENV/bin/python synapse_forks.py SOCKET

Listens on the unix socket SOCKET. A connection begins with one line, a JSON object: the arguments of synapse.app.homeserver, its
working directory, and folders with more modules. The answer is the process id. The Synapse ends when the other side closes the
connection, and its own side is closed when it has ended. Its output goes to console.log in its working directory.

Synapse itself has the reactor that bears forks, for tests with several workers. Ends when its parent process is gone.
"""
import gc
import json
import os
import signal
import socket
import sys
import threading

from synapse.app.complement_fork_proxied_reactor import ProxiedReactor
from twisted.internet.main import installReactor

REACTOR = ProxiedReactor()
installReactor(REACTOR)

import synapse.app.homeserver  # noqa: E402, after the reactor
from twisted.internet.epollreactor import EPollReactor  # noqa: E402


def serve(path):
    parent = os.getppid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path + ".new")
    listener.listen(100)
    listener.settimeout(0.5)
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all memory
    os.rename(path + ".new", path)  # whoever sees the path can connect
    while os.getppid() == parent:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        if os.fork() == 0:
            listener.close()
            return become_homeserver(connection)
        connection.close()


def become_homeserver(connection):
    connection.settimeout(None)
    stream = connection.makefile("rw")
    asked = json.loads(stream.readline())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(asked["folder"])
    output = os.open("console.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    threading.Thread(target=end_with, args=[connection], daemon=True).start()
    print(os.getpid(), file=stream, flush=True)
    sys.path[:0] = asked["modules"]
    sys.argv = ["synapse.app.homeserver", *asked["arguments"]]
    REACTOR._install_real_reactor(EPollReactor())
    synapse.app.homeserver.main()


def end_with(connection):
    connection.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    serve(sys.argv[1])
