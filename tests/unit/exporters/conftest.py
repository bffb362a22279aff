"""A target of exports in memory."""


class Memory:
    """Keeps every object; putting one twice is an error, offering one is not."""

    uri, stamp, origin = "memory://", "s", {}

    def __init__(self, part: str = ""):
        self.part = part
        self.kept: dict[str, bytes] = {}

    @property
    def objects(self) -> int:
        return len(self.kept)

    def put(self, name: str, payload: bytes) -> None:
        assert name not in self.kept
        self.kept[name] = payload

    def offer(self, name: str, payload: bytes) -> bool:
        return self.kept.setdefault(name, payload) == payload

    def read(self, name: str) -> bytes:
        return self.kept[name]
