"""A real browser without a screen: Chromium, driven by the DevTools protocol over a pipe. Nothing but Python's own library."""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

NAMES = ["chromium", "chromium-browser", "google-chrome"]


def found():
    """The program; None: there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def away(descriptor):
    """The same file under a number from 10 on."""
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return copy


class Failure(Exception):
    """The browser says no, or says nothing."""


class Browser:
    """One browser with one page. What the page complains of is in `complaints`."""

    def __init__(self, program=None, timeout=120):
        self.timeout = timeout
        self.profile = tempfile.mkdtemp(prefix="nsm-agent-browser-")
        self.numbers = itertools.count(1)
        self.complaints = []
        self.requests = []
        self.buffer = b""
        # Away from 3 and 4, which become the browser's.
        to_browser, self.to, self.come, from_browser = map(away, [*os.pipe(), *os.pipe()])
        options = [
            "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--hide-scrollbars",
            f"--user-data-dir={self.profile}", "about:blank",
        ]  # fmt: skip
        # The protocol is spoken on descriptors 3 and 4.
        script = f'exec "$@" 3<&{to_browser} 4>&{from_browser} {to_browser}<&- {from_browser}>&-'
        self.process = subprocess.Popen(
            ["bash", "-c", script, "browser", program or found(), *options],
            pass_fds=(to_browser, from_browser), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self.session = None
        pages = [one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        target = pages[0]["targetId"] if pages else self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network", "Audits"]:
            self.call(f"{domain}.enable")

    # The protocol

    def call(self, method, **parameters):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + self.timeout
        while True:
            answer = self.read(end - time.monotonic())
            if answer is None:
                raise Failure(f"{method}: no answer")
            if answer.get("id") == number:
                if "error" in answer:
                    raise Failure(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.note(answer)

    def read(self, seconds):
        """The next message; None: there is none in this time."""
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.come], [], [], max(seconds, 0))
            part = os.read(self.come, 1 << 20) if ready else b""
            if not part:
                return None
            self.buffer += part
        line, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(line)

    def note(self, event):
        method, what = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = what["exceptionDetails"]
            self.complaints.append(f"exception: {details.get('exception', {}).get('description', details['text'])}")
        elif method == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
            self.complaints.append(f"console: {[one.get('value') for one in what['args']]}")
        elif method == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"log: {what['entry']['text']} {what['entry'].get('url', '')}")
        elif method == "Audits.issueAdded":
            self.complaints.append(f"issue: {json.dumps(what['issue'])[:600]}")
        elif method == "Page.javascriptDialogOpening":
            self.complaints.append(f"dialog: {what['message']}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])

    # The page

    def size(self, width, height, is_touched=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_touched)

    def media(self, **features):
        """What the user prefers, such as prefers_color_scheme='dark'."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=named)

    def open(self, url):
        answer = self.call("Page.navigate", url=url)
        if "errorText" in answer:
            raise Failure(f"{url}: {answer['errorText']}")

    def run(self, script):
        """The value of an expression, or of a promise."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise Failure(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def until(self, script, seconds=60):
        """Whether an expression becomes true. One that fails is not: a page that is being replaced has no answers."""
        end = time.monotonic() + seconds
        while True:
            try:
                if self.run(script):
                    return True
                failure = None
            except Failure as error:
                failure = error
            if time.monotonic() > end:
                if failure:
                    print(f"     {failure}", flush=True)
                return False
            time.sleep(0.05)

    def press(self, *keys, shift=False):
        """Keys by their names: Tab, Enter, ArrowDown, or a character."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, " ": 32}
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else None)
            common = {"key": key, "code": key if len(key) > 1 else "", "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
            if shift:
                common["modifiers"] = 8
            down = {"text": text} if text else {}
            self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **common, **down)
            self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def picture(self, path):
        """Writes what is seen to a file."""
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
        return path

    def close(self):
        try:
            self.session = None
            self.call("Browser.close")
        except (Failure, OSError):
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        os.close(self.come)
        shutil.rmtree(self.profile, ignore_errors=True)
