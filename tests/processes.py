"""Real processes: ``twistd`` as it is installed beside the Python that runs the tests."""

import http.client
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from queue import Empty, Queue

TWISTD = Path(sys.executable).parent / "twistd"
#: Seconds that nothing here should ever take.
LONG = 30

DEMO = """
[gateway]
client_host = "127.0.0.1"
client_port = {client_port}
admin_port = {admin_port}
{gateway}
[backends.demo]
provider = "demo"
[[tiers]]
name = "one"
backend = "demo"
model = "small"
"""

#: What a command begins with to run as another user: it may read everything, for the Python that runs the tests may
#: stand in root's home, and write nothing of root's.
_CAPABILITY = "-all,+dac_read_search"
NOBODY = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *(f"--inh-caps={_CAPABILITY}", f"--ambient-caps={_CAPABILITY}", f"--bounding-set={_CAPABILITY}"),
)


class Lines:
    """The lines of a stream as they come; waits for those that are wanted."""

    def __init__(self, stream):
        self.seen = []
        self._ended = False
        self._queue = Queue()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream):
        with stream:
            for line in stream:
                self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def next(self):
        """The next line; ``None`` at the end."""
        if self._ended:
            return None
        try:
            line = self._queue.get(timeout=LONG)
        except Empty:
            raise AssertionError("nothing more came, after:\n" + "\n".join(self.seen)) from None
        if line is None:
            self._ended = True
        else:
            self.seen.append(line)
        return line

    def wait_for(self, pattern):
        """Read on to a line in which ``pattern`` is found; returns the match."""
        while (line := self.next()) is not None:
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"no {pattern!r} in:\n" + "\n".join(self.seen))

    def rest(self):
        """Everything up to the end, what was read before included."""
        while self.next() is not None:
            pass
        return self.seen


class Gateway:
    """One process of the gateway."""

    def __init__(self, command, **options):
        self.process = subprocess.Popen(
            [os.fspath(part) for part in command], stdout=-1, stderr=subprocess.STDOUT, text=True, **options
        )
        self.log = Lines(self.process.stdout)
        self.urls = {}
        self._streams = []

    @property
    def pid(self):
        return self.process.pid

    def serving(self):
        """Wait until it is ready; returns itself."""
        for side in ("client", "admin"):
            self.listening(side)
        self.log.wait_for(" ready$")
        return self

    def listening(self, side):
        """Wait for the line that says where a side listens."""
        self.urls[side] = self.log.wait_for(rf"{side} port: listening on http://(\S+)")[1]

    def signal(self, number):
        self.process.send_signal(number)

    def ended(self):
        """Wait for the end; returns the exit code."""
        return self.process.wait(LONG)

    def ask(self, path, body=None, side="client"):
        """One request on a connection of its own; returns the status and the JSON of the answer."""
        connection = http.client.HTTPConnection(self.urls[side], timeout=LONG)
        try:
            connection.request("GET" if body is None else "POST", path, body and json.dumps(body))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def stream(self, words="Hello", limit=20):
        """Ask for a streamed answer of ``limit`` words, twenty a second."""
        self._streams.append(Stream(self.urls["client"], words, limit))
        return self._streams[-1]

    def close(self):
        """End it, whatever it does."""
        for stream in self._streams:
            stream.close()
        self.process.kill()
        self.process.wait()
        self.log.rest()


class Stream:
    """One streamed answer, read when asked for."""

    def __init__(self, url, words, limit):
        messages = [{"role": "user", "content": words}]
        body = {"model": "one", "stream": True, "max_tokens": limit, "messages": messages}
        self._connection = http.client.HTTPConnection(url, timeout=LONG)
        self._connection.request("POST", "/v1/chat/completions", json.dumps(body))
        self._answer = None

    def begun(self):
        """Wait for the head of the answer; returns itself."""
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200
        return self

    def read(self):
        """Read to the end."""
        return self._answer.read()

    def close(self):
        """Go away."""
        if self._answer is not None:
            self._answer.close()
        self._connection.close()
