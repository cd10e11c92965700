"""A real browser, driven over its DevTools protocol: JSON on a pair of pipes (``--remote-debugging-pipe``), no server.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

#: Seconds that nothing on a page should ever take.
LONG = 12
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--mute-audio"),
    *("--hide-scrollbars", "--remote-debugging-pipe", "--no-proxy-server", "--disable-extensions"),
)


def executable():
    """Where the browser is, or ``None``."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Chromium:
    """One process of the browser with a profile of its own."""

    def __init__(self):
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        # It reads commands on descriptor 3 and answers on 4.
        (their_in, self._out), (self._in, their_out) = os.pipe(), os.pipe()
        high = [fcntl.fcntl(each, fcntl.F_DUPFD, 20) for each in (their_in, their_out)]
        os.close(their_in)
        os.close(their_out)
        self._process = subprocess.Popen(
            [executable(), *FLAGS, f"--user-data-dir={self._profile}", "about:blank"],
            preexec_fn=lambda: [os.dup2(each, 3 + i) for i, each in enumerate(high)],
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for each in high:
            os.close(each)
        self._buffer = b""
        self._last = 0
        self.heard = []

    def call(self, method, session=None, **parameters):
        """Give a command; returns its result. Events that come meanwhile are kept in ``heard``."""
        self._last += 1
        number = self._last
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + LONG
        while True:
            answer = self._read(deadline - time.monotonic())
            assert answer is not None, f"{method}: no answer"
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _read(self, seconds):
        """The next message, ``None`` when none came in time."""
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], max(seconds, 0))[0]:
                return None
            piece = os.read(self._in, 1 << 20)
            assert piece, "the browser has gone"
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(line)
        if "method" in message:
            self.heard.append(message)
        return message

    def page(self, width=1440, height=900, **media):
        """Open a page in a context of its own: no cookies, no storage."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, session, target, width, height, media)

    def close(self):
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._profile, ignore_errors=True)


class Page:
    """One tab. Everything that goes wrong in it is kept: ``problems``."""

    def __init__(self, browser, session, target, width, height, media):
        self._browser = browser
        self._session = session
        self._target = target
        #: Words of errors that a test provokes.
        self.expected = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
        phone = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        self.call("Emulation.setEmulatedMedia", features=features)

    def call(self, method, **parameters):
        return self._browser.call(method, self._session, **parameters)

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def js(self, expression):
        """Evaluate an expression in the page; a promise is waited for."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, (expression, result["exceptionDetails"])
        return result["result"].get("value")

    def until(self, expression):
        """Wait for an expression to become true; returns its value."""
        deadline = time.monotonic() + LONG
        while time.monotonic() < deadline:
            try:
                if value := self.js(expression):
                    return value
            except AssertionError as error:
                if "Execution context was destroyed" not in str(error):
                    raise
            select.select([], [], [], 0.05)
        raise AssertionError(f"never true: {expression}\non the page:\n{self.text()}\n{self.problems()}")

    def text(self, selector="body"):
        """What a person reads there."""
        return self.js(f"document.querySelector({json.dumps(selector)})?.innerText")

    def shows(self, words, selector="body"):
        """Wait until these words can be read."""
        return self.until(f"document.querySelector({json.dumps(selector)})?.innerText.includes({json.dumps(words)})")

    def click(self, selector):
        """Press the left button in the middle of an element, as a hand would."""
        self.until(f"document.querySelector({json.dumps(selector)}) !== null")
        self.js(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        x, y = self.js(
            f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return [b.left + b.width / 2, b.top + b.height / 2]; })()"
        )
        self.drag((x, y), (x, y))

    def drag(self, start, end):
        """Press at one point, release at another."""
        mouse = {"button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=start[0], y=start[1], **mouse)
        for share in (0.5, 1) if start != end else ():
            x, y = (a + (b - a) * share for a, b in zip(start, end, strict=True))
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=end[0], y=end[1], **mouse)

    def type(self, selector, text):
        """Put the cursor into a field, and type."""
        self.js(f"(document.querySelector({json.dumps(selector)}).focus(), 0)")
        self.call("Input.insertText", text=text)

    def press(self, key, code=0, modifiers=0):
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                modifiers=modifiers,
                **text,
            )

    def screenshot(self, path):
        """Keep what is seen as a PNG."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def problems(self):
        """Exceptions, errors on the console and violations of the content security policy, in words."""
        self.js("0")
        found = []
        for message in self._browser.heard:
            if message.get("sessionId") != self._session:
                continue
            told = message["params"]
            if message["method"] == "Runtime.exceptionThrown":
                found.append(told["exceptionDetails"].get("exception", told["exceptionDetails"]).get("description"))
            elif message["method"] == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
                found.append(" ".join(str(each.get("value", each.get("description"))) for each in told["args"]))
            elif message["method"] == "Log.entryAdded" and told["entry"]["level"] == "error":
                found.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        return found

    def busy_s(self):
        """Seconds of CPU that the page's own thread has used."""
        self.call("Performance.enable", timeDomain="threadTicks")
        metrics = {each["name"]: each["value"] for each in self.call("Performance.getMetrics")["metrics"]}
        return metrics["TaskDuration"]

    def violations(self):
        """What the content security policy has stopped."""
        return self.js("window.violations")

    def requested(self):
        """Every URL that the page has asked for."""
        return [
            message["params"]["request"]["url"]
            for message in self._browser.heard
            if message.get("sessionId") == self._session and message["method"] == "Network.requestWillBeSent"
        ]

    def close(self):
        self._browser.call("Target.closeTarget", targetId=self._target)


_WATCH = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(event.violatedDirective + " " + event.blockedURI));
"""
