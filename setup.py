"""The package is described in setup.cfg; only the optional compiled modules need code."""

import os

from setuptools import setup

# What mypyc can compile: the ingest hot path. The .py file is the fallback: nothing depends on the result.
ACCELERATED = ["rtmpd/protocol/message.py", "rtmpd/protocol/source.py", "rtmpd/protocol/chunk.py"]


def extensions():
    """The compiled modules if RTMPD_ACCEL=1 asks for them, else none; one that does not build is left out."""
    if os.environ.get("RTMPD_ACCEL") != "1":
        return []
    try:
        from mypyc.build import mypycify
    except ImportError:  # the first look of pip, which then installs what setup_requires names
        return []
    try:
        built = mypycify(["--config-file=", "--ignore-missing-imports", *ACCELERATED])
    except SystemExit:  # how mypycify says that it found an error in a source
        return []
    for extension in built:
        extension.optional = True
    return built


setup(setup_requires=["mypy"] if os.environ.get("RTMPD_ACCEL") == "1" else [], ext_modules=extensions())
