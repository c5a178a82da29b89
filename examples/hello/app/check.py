"""A health probe: exit 0 when the URL answers with success."""

import sys
import urllib.request

try:
    urllib.request.urlopen(sys.argv[1], timeout=3).close()
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {error}")
