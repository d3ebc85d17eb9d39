#!/bin/sh
# A worker for rtmpd (type = worker) in plain sh: the id comes first in each line, the event last.
while IFS= read -r line; do
    id=${line#'{"id":"'}
    id=${id%%'"'*}
    case $line in
    *'"type":"publish_start"'*) echo "somebody publishes" >&2 ;; # your work goes here
    esac
    echo "ack $id"
done
