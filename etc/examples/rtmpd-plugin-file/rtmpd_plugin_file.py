"""A hook for rtmpd that appends each event to a file, as one JSON line.

    [hooks]
      [[archive]]
      type = plugin
      name = file
        [[[options]]]
        path = /var/log/rtmpd/events.jsonl
        types = publish_start, publish_stop
"""

from rtmpd.errors import PermanentDeliveryError, TransientDeliveryError


class FileHook:
    # Files have no waiting that gevent could take part in, so rtmpd calls us in a thread of our own.
    blocking = True

    def __init__(self, id, options):
        """Look at the options and nothing else: this also runs when a configuration is only tested."""
        unknown = set(options) - {"path", "types"}
        if unknown or not options.get("path"):
            raise ValueError(f"path is needed, types is possible, given were {sorted(options)}")
        types = options.get("types", ())
        self.types = {types} if isinstance(types, str) else set(types)
        self.path = options["path"]

    def execute(self, event, deadline):
        if self.types and event.type not in self.types:
            raise PermanentDeliveryError(f"{event.type} is not archived", "type")
        try:
            with open(self.path, "ab") as file:
                file.write(event.json() + b"\n")
        except OSError as error:
            raise TransientDeliveryError(f"{self.path}: {error.strerror}", "file") from error

    def close(self):
        """Nothing is held between events."""
