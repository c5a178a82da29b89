"""Label keys that say who owns what.

The ``com.docker.compose`` keys are those Docker Compose writes, so that tools which read its
labels recognise our stacks.
"""

from __future__ import annotations

from typing import Final

PREFIX: Final = "com.docker.compose."
PROJECT: Final = PREFIX + "project"
SERVICE: Final = PREFIX + "service"
CONTAINER_NUMBER: Final = PREFIX + "container-number"
ONEOFF: Final = PREFIX + "oneoff"
SLUG: Final = PREFIX + "slug"
CONFIG_HASH: Final = PREFIX + "config-hash"
IMAGE: Final = PREFIX + "image"
DEPENDS_ON: Final = PREFIX + "depends_on"
WORKING_DIR: Final = PREFIX + "project.working_dir"
CONFIG_FILES: Final = PREFIX + "project.config_files"
ENVIRONMENT_FILE: Final = PREFIX + "project.environment_file"
VERSION: Final = PREFIX + "version"
NETWORK: Final = PREFIX + "network"
VOLUME: Final = PREFIX + "volume"
REPLACE: Final = PREFIX + "replace"
CONTENT: Final = "stackctl.content"
"""The key of a config or secret in its stack file, where the engine keeps such things."""

ANONYMOUS_VOLUME: Final = "com.docker.volume.anonymous"
BUILD: Final = "stackctl.build"
"""On what runs the commands of a build, and goes with it."""

SPEC: Final = "stackctl.spec"
"""On an engine that is not ours: what a thing was made from, whole. It tells what has changed, and why."""
