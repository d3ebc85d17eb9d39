"""Where the program starts: the standard library is made cooperative before anything else is imported."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

from .cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
