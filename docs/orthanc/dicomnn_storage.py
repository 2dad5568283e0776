# dicomnn's archive as the storage area of Orthanc: a script for Orthanc's Python plugin.
# Copyright (C) 2026 the dicomnn authors
#
# This program is free software: you can redistribute it and/or modify it under the terms of the GNU Affero
# General Public License as published by the Free Software Foundation, either version 3 of the License, or
# (at your option) any later version.
#
# This program is distributed in the hope that it will be useful, but WITHOUT ANY WARRANTY; without even the
# implied warranty of MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE. See the GNU Affero General Public
# License for more details.
#
# You should have received a copy of the GNU Affero General Public License along with this program (the file
# LICENSE in this folder). If not, see <https://www.gnu.org/licenses/>.
#
# This file alone is under that licence, because it runs inside of Orthanc; the rest of dicomnn is under the
# Apache License 2.0. It imports nothing of dicomnn: both talk over HTTP, on this machine.
"""Every attachment goes to a running dicomnn node: durable before `create` returns, exact bytes on `read`.

Needs Orthanc's Python plugin 3.3 or newer and nothing but the standard library. Orthanc's configuration::

    "PythonScript": "/usr/local/share/dicomnn/dicomnn_storage.py",
    "Dicomnn": {
      "Node": "127.0.0.1:11181",                    "listen" of [plugin] in dicomnn.toml; a socket's path too
      "SecretFile": "/etc/dicomnn/plugin.secret",   the same file that [plugin] names
      "OldStorage": "/var/lib/orthanc/db-v6",       what Orthanc stored before: read there, and removed
      "PatienceSeconds": 30                         how long to wait for a node that does not answer
    }

Everything may be said twice, so what got no answer is said again until the patience ends.
"""

import http.client
import json
import os
import queue
import re
import socket
import time

import orthanc

PROTOCOL = "dicomnn.attachments/1"
LONGEST_ANSWER = 600.0          # seconds; a large image that is restored takes its time
PAUSE = 0.05                    # before it is said again; doubled up to a second
IDLE_CONNECTIONS = 32
UUID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")
AGAIN = (503, 507)              # the node is in trouble now, and may not be in a moment


class Refused(Exception):
    """The node answered, and the answer is no."""

    def __init__(self, status, reason):
        super().__init__(f"{status} {reason}")
        self.status = status


class SocketConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class LoopbackConnection(http.client.HTTPConnection):
    def connect(self):
        super().connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Node:
    """Requests over connections that stay open; Orthanc calls from several threads."""

    def __init__(self, address, secret, patience):
        self.address, self.patience = address, patience
        self.headers = {"Authorization": "Bearer " + secret}
        self.idle = queue.LifoQueue(IDLE_CONNECTIONS)

    def _new(self):
        if self.address.startswith("/"):
            return SocketConnection(self.address, LONGEST_ANSWER)
        host, _, port = self.address.rpartition(":")
        return LoopbackConnection(host.strip("[]"), int(port), timeout=LONGEST_ANSWER)

    def _once(self, connection, method, path, body):
        connection.request(method, path, body, self.headers)
        answer = connection.getresponse()
        content = answer.read()            # http.client.IncompleteRead when it was cut off
        if answer.will_close:
            connection.close()
        else:
            try:
                self.idle.put_nowait(connection)
            except queue.Full:
                connection.close()
        return answer.status, content

    def ask(self, method, path, body=None):
        """(status, content); raises OSError or Refused (503, 507) when the patience has ended."""
        end, pause = time.monotonic() + self.patience, PAUSE
        while True:
            try:
                connection = self.idle.get_nowait()
                kept = True
            except queue.Empty:
                connection, kept = self._new(), False
            try:
                status, content = self._once(connection, method, path, body)
                if status not in AGAIN:
                    return status, content
                trouble = Refused(status, content.decode("utf-8", "replace"))
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if kept:
                    continue               # it was closed while nobody used it: a new one tells
                trouble = error if isinstance(error, OSError) else OSError(repr(error))
            if time.monotonic() + pause > end:
                raise trouble
            time.sleep(pause)
            pause = min(2 * pause, 1.0)


class Storage:
    """The three callbacks. ``old``: the folder of Orthanc's own storage from before, or None."""

    def __init__(self, node, old):
        self.node, self.old = node, old

    def _old_path(self, uuid):
        if self.old is None or not UUID.fullmatch(uuid):
            return None
        return os.path.join(self.old, uuid[0:2], uuid[2:4], uuid)

    def create(self, uuid, kind, content):
        status, reason = self.node.ask("PUT", f"/attachments/{uuid}?kind={int(kind)}", content)
        if status not in (200, 201):
            raise Refused(status, reason.decode("utf-8", "replace"))

    def read(self, uuid, kind):
        for _ in range(2):
            status, content = self.node.ask("GET", "/attachments/" + uuid)
            if status == 200:
                return content
            if status != 404 or self.old is None:
                break
            try:
                with open(self._old_path(uuid), "rb") as file:
                    return file.read()
            except FileNotFoundError:
                pass                       # perhaps it was brought over just now: ask once more
        raise Refused(status, content.decode("utf-8", "replace"))

    def remove(self, uuid, kind):
        status, reason = self.node.ask("DELETE", "/attachments/" + uuid)
        if status not in (204, 404):
            raise Refused(status, reason.decode("utf-8", "replace"))
        path = self._old_path(uuid)
        if path is not None:
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass


def start():
    settings = json.loads(orthanc.GetConfiguration()).get("Dicomnn", {})
    if "Node" not in settings or "SecretFile" not in settings:
        raise ValueError('"Dicomnn" needs "Node" and "SecretFile" in Orthanc\'s configuration')
    with open(settings["SecretFile"], encoding="ascii") as file:
        secret = file.read().strip()
    node = Node(settings["Node"], secret, float(settings.get("PatienceSeconds", 30)))
    storage = Storage(node, settings.get("OldStorage"))
    try:
        status, content = node.ask("GET", "/")
        if status == 200 and json.loads(content).get("protocol") == PROTOCOL:
            orthanc.LogWarning("dicomnn is the storage area: node at " + settings["Node"])
        else:
            orthanc.LogError(f"dicomnn: the node at {settings['Node']} answered {status} "
                             f"{content.decode('utf-8', 'replace')}; nothing can be stored or read")
    except OSError as error:
        orthanc.LogError(f"dicomnn: no node at {settings['Node']} ({error}); each request waits for it")

    def told(callback):
        """The plugin says of an exception only that there was one."""
        def call(*arguments):
            try:
                return callback(*arguments)
            except Exception as error:
                orthanc.LogError(f"dicomnn: {callback.__name__} of {arguments[0]} failed: {error}")
                raise
        return call

    orthanc.RegisterStorageArea(told(storage.create), told(storage.read), told(storage.remove))


start()
