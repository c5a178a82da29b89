"""The entry point: options before the command, the lazy command table, and how errors end the process."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import click

from stackctl import __version__
from stackctl.cli.commands import COMMANDS, NOT_YET
from stackctl.cli.declared import Command
from stackctl.cli.ending import INTERRUPTED, forget_output, show
from stackctl.cli.failure import Failure
from stackctl.cli.flags import with_truths, without_truths
from stackctl.cli.settings import ANSI, PROGRESS, Settings, choose_ansi, choose_engine, choose_progress, use
from stackctl.errors import UsageError


class LazyGroup(click.Group):
    """Knows its commands by the table; imports the one that is called."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, after ``--flag=true`` and ``--flag=false``, which it does not know."""
        return super().parse_args(ctx, without_truths(self, ctx, args))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the table's order."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None when there is none of that name."""
        del ctx
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        found = getattr(import_module(f"stackctl.cli.{entry.module}"), entry.attribute)
        if isinstance(found, Command):
            from stackctl.cli.declared_click import click_command  # only for these

            return click_command(found, cmd_name)
        assert isinstance(found, click.Command)
        return with_truths(found)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that ``args`` begins with. Raises UsageError, with what may have been meant."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            raise _unknown_command(name)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Whatever stops it is shown, and becomes a Failure."""
        try:
            return super().invoke(ctx)
        except (Failure, BrokenPipeError, click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:  # the edge: nobody above knows how to show it
            raise Failure(show(error, ctx.obj if isinstance(ctx.obj, Settings) else None)) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table, importing nothing."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


def _unknown_command(name: str) -> UsageError:
    if name in NOT_YET:
        return UsageError(f"the command {name} is not supported yet", code="not-supported")
    from difflib import get_close_matches  # only after a mistake

    likely = get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean `{likely[0]}`?" if likely else "`stackctl --help` lists the commands"
    return UsageError(f"unknown command: {name}", code="unknown-command", hint=hint)


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    options_metavar="[OPTIONS]",
    subcommand_metavar="COMMAND [ARGS]...",
)
@click.option("-f", "--file", "files", multiple=True, metavar="FILE", help="Stack file; - reads standard input.")
@click.option("-p", "--project-name", default="", metavar="NAME", help="Name of the stack.")
@click.option("--profile", "profiles", multiple=True, metavar="NAME", help="Profile to enable; * enables all.")
@click.option("--env-file", "env_files", multiple=True, metavar="FILE", help="Environment file, instead of .env.")
@click.option("--project-directory", default="", metavar="DIR", help="What relative paths start from.")
@click.option("--progress", metavar="|".join(PROGRESS), help="How to show progress.")
@click.option("--ansi", metavar="|".join(ANSI), help="When to use colours.")
@click.option("--engine", metavar="URL", help="Another engine: docker, unix:///…, tcp://…, ssh://….")
@click.option("--all-resources", is_flag=True, help="Keep networks, volumes and the like that no service uses.")
@click.option("--compatibility", is_flag=True, hidden=True)
@click.option("--dry-run", is_flag=True, hidden=True)
@click.option("--parallel", type=int, hidden=True)
@click.option("--verbose", is_flag=True, hidden=True)
@click.version_option(__version__, "-v", "--version", message="stackctl version %(version)s")
def root(
    files: tuple[str, ...],
    project_name: str,
    profiles: tuple[str, ...],
    env_files: tuple[str, ...],
    project_directory: str,
    progress: str | None,
    ansi: str | None,
    **others: Any,
) -> None:
    """Bring a Compose stack up on a built-in container runtime, without Docker."""
    ctx = click.get_current_context()
    environment = dict(os.environ)
    ctx.obj = Settings(
        files=files,
        project_name=project_name,
        project_directory=project_directory,
        profiles=profiles,
        env_files=env_files,
        has_all_resources=bool(others["all_resources"]),
        progress=choose_progress(progress, environment),
        ansi=choose_ansi(ansi, environment),
        engine=choose_engine(others["engine"], environment),
        environment=environment,
        cwd=os.getcwd(),
        arguments=tuple(ctx.obj or ()),
    )
    use(ctx.obj)
    _refuse_unsupported(others)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _refuse_unsupported(given: dict[str, Any]) -> None:
    if given["dry_run"]:
        raise UsageError(
            "--dry-run is not supported yet",
            code="not-supported",
            hint="`stackctl plan` shows what `up` would do",
        )
    if given["compatibility"]:
        raise UsageError("--compatibility is not supported yet", code="not-supported")


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status: 1 for everything wrong, 130 when interrupted."""
    try:
        result = root.main(arguments, prog_name="stackctl", standalone_mode=False, obj=arguments)
    except Failure as failure:
        return failure.exit_status
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.exceptions.NoArgsIsHelpError as asked:  # `engine` alone: as docker does
        click.echo(asked.ctx.get_help() if asked.ctx is not None else "")
        return 0
    except click.ClickException as error:
        from stackctl.cli.usage import usage_error  # only after a mistake

        return show(usage_error(error), None)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        forget_output()
        return 1
    return result if isinstance(result, int) else 0
