"""The table of commands: what is imported for one is named here, so that no other pays for it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Entry(NamedTuple):
    """Where a command is and what it does, in one line."""

    module: str
    attribute: str
    help: str


COMMANDS: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        "up": Entry("up", "up", "Create and start the stack, or bring it to what the files say"),
        "down": Entry("down", "down", "Stop and remove containers and networks"),
        "plan": Entry("plan", "plan", "Show what `up` would do, and why; change nothing"),
        "ps": Entry("ps", "ps", "List containers"),
        "logs": Entry("logs", "logs", "Show what containers wrote"),
        "exec": Entry("exec", "exec_", "Run a command in a running container"),
        "run": Entry("run", "run", "Run a one-off command in a new container of a service"),
        "start": Entry("lifecycle", "start", "Start containers that exist"),
        "stop": Entry("lifecycle", "stop", "Stop containers"),
        "restart": Entry("lifecycle", "restart", "Stop and start containers"),
        "kill": Entry("lifecycle", "kill", "Send a signal to containers"),
        "rm": Entry("rm", "rm", "Remove stopped containers"),
        "create": Entry("create", "create", "Create containers, and do not start them"),
        "scale": Entry("create", "scale", "Change the number of replicas of services"),
        "wait": Entry("wait", "wait", "Wait until containers end, and exit as the first does"),
        "attach": Entry("attach", "attach", "Attach this terminal to a running container of a service"),
        "port": Entry("port", "port", "Show where a port of a service is published"),
        "top": Entry("top", "top", "List the processes in containers"),
        "stats": Entry("stats", "stats", "Show what containers use of the machine"),
        "pause": Entry("pause", "pause", "Let the processes of containers stand still"),
        "unpause": Entry("pause", "unpause", "Let paused containers go on"),
        "cp": Entry("cp", "cp", "Copy files between a container and this machine"),
        "export": Entry("export", "export", "Write the files of a container as an archive"),
        "commit": Entry("export", "commit", "Make an image of a container"),
        "events": Entry("events", "events", "Show what happens to containers, as it happens"),
        "images": Entry("images", "images", "List the images that containers were made of"),
        "network": Entry("network", "network", "Make, list and remove networks of any stack"),
        "volume": Entry("volume", "volume", "Make, save, bring in, list and remove volumes of any stack"),
        "volumes": Entry("volumes", "volumes", "List volumes"),
        "ls": Entry("ls", "ls", "List stacks"),
        "config": Entry("config", "config", "Check the stack files and print what they come to"),
        "lint": Entry("lint", "lint", "Tell what is wrong with the stack files, or may be regretted"),
        "schema": Entry("schema", "schema", "Print the schema of stack files"),
        "pull": Entry("pull", "pull", "Pull the images of the stack"),
        "push": Entry("push", "push", "Push the images that the stack builds"),
        "build": Entry("build", "build", "Build the images of the stack"),
        "image": Entry("image", "image", "Pull, load, import, list, tag and remove images"),
        "system": Entry("system", "system", "Show what takes room on the disk, and remove what nothing uses"),
        "login": Entry("login", "login", "Log in to a registry"),
        "logout": Entry("login", "logout", "Forget the login to a registry"),
        "engine": Entry("engine", "engine", "Start, stop and show the engine"),
        "doctor": Entry("doctor", "doctor", "Check whether this machine can run the engine"),
        "completion": Entry("completion", "completion", "Print what makes a shell complete commands"),
        "version": Entry("version", "version", "Show the version"),
    }
)

# Commands of Compose that are to come.
NOT_YET: Final = frozenset(
    {
        "alpha",
        "bridge",
        "convert",
        "publish",
        "watch",
    }
)
