"""What every peer that is written in Python does alike: its words, its versions, files that last."""

import importlib.metadata
import os
import sys


def run(packages, words, work):
    """Has `work` do what the command line asks, and prints how many rows it says to have written."""
    given = sys.argv[1:]
    if given == ["--version"]:
        print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages))
    elif len(given) == len(words):
        print(work(*given))
    else:
        sys.exit(f"usage: {sys.argv[0]} {' '.join(words)}, or --version")


def sync(path):
    """Returns when a file, or the entries of a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(folder):
    """The same of everything below a folder: for tools that write and do not sync."""
    for path, _, files in os.walk(folder):
        for name in files:
            sync(os.path.join(path, name))
        sync(path)
