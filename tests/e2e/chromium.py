"""A page in headless Chromium, driven by real input events through its debugging pipe."""

import base64
import json
import os
import shutil
import subprocess
from itertools import count
from pathlib import Path
from typing import Any, Self

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
)


class Tab:
    """One tab. Messages are JSON that ends with a zero byte, on file descriptors 3 and 4."""

    def __init__(self, profile: Path, width: int = 1280, height: int = 900):
        self._profile, self._size, self._ids = profile, (width, height), count(1)
        self.logged: list[str] = []
        self.requested: list[str] = []

    def __enter__(self) -> Self:
        theirs, ours = os.pipe()
        back, their_back = os.pipe()
        run = f'exec "$@" 3<&{theirs} 4>&{their_back}'
        flags = [*FLAGS, "--remote-debugging-pipe", f"--user-data-dir={self._profile}"]
        self._process = subprocess.Popen(
            ["bash", "-c", run, "bash", str(CHROMIUM), *flags, "about:blank"],
            pass_fds=(theirs, their_back),
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(their_back)
        self._out, self._in = os.fdopen(ours, "wb"), os.fdopen(back, "rb")
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(*self._size)
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        self._out.close()
        self._in.close()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while (answer := self._read()).get("id") != number:
            self._note(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, page: Path) -> None:
        """Load a page and wait until its load event is done."""
        self.call("Page.navigate", url=page.as_uri())
        while (event := self._read()).get("method") != "Page.loadEventFired":
            self._note(event)

    def resize(self, width: int, height: int, dark: bool = False) -> None:
        """Set the size of the view, px, and the colour scheme that the user prefers."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1}
        self.call("Emulation.setDeviceMetricsOverride", **size, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def click(self, selector: str, index: int = 0) -> None:
        """Scroll an element into view and click its centre with the mouse."""
        element = f"document.querySelectorAll({json.dumps(selector)})[{index}]"
        box = self.value(
            f"{element}.scrollIntoView({{block: 'center', behavior: 'instant'}}),"
            f"JSON.stringify({element}.getBoundingClientRect())"
        )
        box = json.loads(box)
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def press(self, key: str, text: str = "") -> None:
        """Press a key, by its name in KeyboardEvent.key."""
        codes = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39, "Tab": 9}
        code = codes.get(key, ord(key[0].upper()))
        text = "\r" if key == "Enter" else text or (key if len(key) == 1 else "")
        event = {"key": key, "windowsVirtualKeyCode": code}
        kind = "keyDown" if text else "rawKeyDown"
        self.call("Input.dispatchKeyEvent", type=kind, **event, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def picture(self, whole: bool = False) -> bytes:
        """Return a PNG of the view, or of the whole page."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(found["data"])

    def _read(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self._in.read(1)) != b"\0":
            assert byte, "Chromium has ended"
            text += byte
        return json.loads(text)

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"][:200])
        elif event.get("method") == "Log.entryAdded":
            self.logged.append(params["entry"]["text"])
        elif event.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.logged.append(json.dumps(params))
