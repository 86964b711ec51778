"""The command line put together: the help that opens it, the commands by audience, and what an error looks like.

Typer and rich are imported here; everything that a command needs is imported when it runs.
"""

from typing import Annotated

import typer

from .. import __version__
from ..errors import CourseError
from . import author, classroom, hour, journal, learner, models, papers, report, review, transfer

HELP = """
Mechanistic interpretability, an hour a day: lessons and labs in JupyterLab, checked as you go, all on this machine.

Without a command, [bold]mechinterp[/] takes you back to where you were.
"""
EXAMPLES = """
[bold]Examples[/]

  mechinterp start                      make ~/mechinterp and open it
  mechinterp                            go on where you were
  mechinterp plan --days mon-fri        an hour on weekdays, as a calendar
  mechinterp check causal_mask          is the saved answer right?
  mechinterp hint causal_mask           one step further
  mechinterp compare causal_mask        your answer beside the course's
  mechinterp COMMAND --help             more about one command
"""

app = typer.Typer(
    help=HELP,
    epilog=EXAMPLES.replace("\n", "\n\n", 1),
    rich_markup_mode="rich",
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
learner.add_to(app)
hour.add_to(app)
review.add_to(app)
journal.add_to(app)
papers.add_to(app)
report.add_to(app)
transfer.add_to(app)
app.add_typer(author.app, name="author", rich_help_panel="For authors")
app.add_typer(classroom.app, name="class", rich_help_panel="For teachers")
app.add_typer(models.app, name="models", rich_help_panel="For learners")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"mechinterp {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    no_browser: learner.NoBrowser = False,
    port: learner.Port = None,
    version: Annotated[
        bool,
        typer.Option("--version", help="Say the version.", show_default=False, callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        learner.resume(not no_browser, port)


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    command = typer.main.get_command(app)
    try:
        result = command.main(args=arguments, prog_name="mechinterp", standalone_mode=False)
    except CourseError as error:
        say_error(error)
        return getattr(error, "exit_code", 1)
    except RuntimeError as error:
        if "home directory" not in str(error):  # pathlib's words, where there is no HOME, or for an unknown ~user
            raise
        say_error(CourseError("Your home folder cannot be found.", "Name a folder: `mechinterp start DIR`."))
        return 1
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        where = f" ({error.filename})" if error.filename else ""
        say_error(CourseError(f"{error.strerror or error}{where}.", "Run `mechinterp doctor` to see what is wrong."))
        return 1
    except Exception as error:
        if not hasattr(error, "exit_code"):
            raise
        from typer.rich_utils import rich_format_error

        rich_format_error(error)  # a misspelt option or command
        return error.exit_code
    return result if isinstance(result, int) else 0


def say_error(error: CourseError) -> None:
    """Print a sentence and its remedy on stderr."""
    from .screen import console

    console(stderr=True).error(error)
