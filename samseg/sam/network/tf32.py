"""TensorFloat-32, in which a GPU rounds the operands of float32 products to 10 bits of mantissa.

By default PyTorch allows it in convolutions and forbids it in matrix products, each by a
process-wide flag. SAM's features would lose three decimal digits, so samseg sets the flags itself.
On a CPU neither flag has an effect.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

import torch

T = TypeVar("T")


class _Flag(Generic[T]):
    """A process-wide flag that is changed while at least one thread needs the other value."""

    def __init__(self, read: Callable[[], T], write: Callable[[T], None], value: T):
        self._read, self._write, self._value = read, write, value
        self._lock, self._users, self._before = Lock(), 0, read()

    @contextmanager
    def changed(self) -> Iterator[None]:
        with self._lock:
            if self._users == 0:
                self._before = self._read()
                self._write(self._value)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._write(self._before)


def _set_convolutions(allowed: bool) -> None:
    torch.backends.cudnn.allow_tf32 = allowed


_PRODUCTS = _Flag(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "high")
_CONVOLUTIONS = _Flag(lambda: bool(torch.backends.cudnn.allow_tf32), _set_convolutions, False)


@contextmanager
def tf32_products() -> Iterator[None]:
    """Allow TF32 in matrix products, for models that run in bfloat16 otherwise."""
    with _PRODUCTS.changed():
        yield


@contextmanager
def float32_convolutions() -> Iterator[None]:
    """Forbid TF32 in convolutions, so that they compute in full float32."""
    with _CONVOLUTIONS.changed():
        yield
