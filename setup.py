"""The package is described in setup.cfg; only the compiled modules and the files that are not Python need code."""

import os
import shutil

from setuptools import setup
from setuptools.command.build_py import build_py

# What mypyc can compile: the ingest hot path. The .py file is the fallback: nothing depends on the result.
ACCELERATED = ["rtmpd/protocol/message.py", "rtmpd/protocol/source.py", "rtmpd/protocol/chunk.py"]


# Dashboards, alert rules, manual pages, completion, init script, unit and documentation, for ``rtmpd files``.
SHARED = ["docs", "etc"]


class BuildPy(build_py):
    """Puts the folders of ``SHARED`` into the package as ``rtmpd/share``."""

    def run(self):
        super().run()
        if self.editable_mode:  # they are read where they are
            return
        for folder in SHARED:
            target = os.path.join(self.build_lib, "rtmpd", "share", folder)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(folder, target, ignore=shutil.ignore_patterns("__pycache__", "debian", "docker"))


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


setup(
    setup_requires=["mypy"] if os.environ.get("RTMPD_ACCEL") == "1" else [],
    ext_modules=extensions(),
    cmdclass={"build_py": BuildPy},
)
