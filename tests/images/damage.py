"""Damaged files of every kind, decoded in a process of its own: there a decoder may end it, hang, or eat all memory."""

import os
import resource
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from image_files import every_kind

from pipeline.errors import ImageError
from pipeline.images.decode import decode

SECONDS = 60  # of wall time for one file, on a machine with other work
CPU_SECONDS = 5  # likewise of the process
MEMORY = 3 << 30  # bytes of addresses, most of them the libraries'
SIZE = 16

Work = Callable[[Path, int], object]


def damaged(whole: bytes, seed: int) -> bytes:
    """Some bytes replaced, a stretch removed, doubled or zeroed, or the end cut off."""
    rng = np.random.default_rng(seed)
    content = bytearray(whole)
    for _ in range(int(rng.integers(0, 12))):
        content[int(rng.integers(len(content)))] = int(rng.integers(256))
    start = int(rng.integers(len(content)))
    stretch = slice(start, start + int(rng.integers(1, 64)))
    match rng.integers(8):
        case 0:
            del content[stretch]
        case 1:
            content[start:start] = content[stretch]
        case 2:
            content[stretch] = bytes(len(content[stretch]))
        case 3:
            del content[start:]
    return bytes(content)


def try_all(results: Connection, path: Path, numbers: range, work: Work) -> None:
    """Decode damaged files by number, and say before each that it comes and after it what it came to."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    wholes = list(every_kind().values())
    for number in numbers:
        path.write_bytes(damaged(wholes[number % len(wholes)], number))
        results.send(number)
        start = time.process_time()
        try:
            work(path, SIZE)
            outcome = "decoded"
        except ImageError as error:
            outcome = "refused" if str(error).startswith(f"{path} ") else f"nameless: {error}"
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        slow = time.process_time() - start > CPU_SECONDS
        results.send(f"{outcome}, slow" if slow else outcome)


def outcomes(path: Path, numbers: range, work: Work = decode, seconds: float = SECONDS) -> Iterator[tuple[int, str]]:
    """What one process makes of damaged files, by number, until it ends."""
    receive, send = get_context("spawn").Pipe(duplex=False)
    process = get_context("spawn").Process(target=try_all, args=(send, path, numbers, work))
    process.start()
    send.close()
    number = numbers.start
    try:
        while receive.poll(seconds):
            message = receive.recv()
            if isinstance(message, int):
                number = message
            else:
                yield number, message
        yield number, "hangs"
    except EOFError:
        process.join()
        if process.exitcode:
            yield number, f"ends the process with {process.exitcode}"
    finally:
        process.kill()
        process.join()


def end_process(path: Path, size: int) -> None:
    """What a decoder that crashes does."""
    os._exit(3)


def hang(path: Path, size: int) -> None:
    """What a decoder that does not come back does."""
    time.sleep(1000)
