"""`fastnn` in this process, and the error of a command that failed."""

from typer.testing import CliRunner

from fastnn.__main__ import app


def run(*arguments, given=None, env=None):
    """Run `fastnn` with arguments; `given` is its standard input."""
    words = [str(each) for each in arguments]
    return CliRunner().invoke(app, words, prog_name="fastnn", input=given, env=env)


def error_of(result, code=2):
    """Return the error of a command that failed: the only one, in the last line, no traceback."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    lines = result.stderr.splitlines()
    errors = [line for line in lines if "rror: " in line or "fastnn: " in line]
    assert errors == lines[-1:], result.stderr
    return errors[0]
