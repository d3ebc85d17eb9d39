"""Commands of other servers as scripts for a hook: their variables come from the event, and each word stays a word.

What a publisher chose (a name, a query, a path made of them) never becomes part of a text that a shell or another
interpreter reads:

- A program gets it as an argument, whatever is in it.
- ``sh -c TEXT`` gets it as variables of its environment, and only if no character in it means something to a shell;
  otherwise the script ends with an error before that.
- Where a text is put together for somebody else (``ssh``, ``su -c``, ``python -c``, a shell in a shell's text), the
  command is not carried over.

A variable that no event has ends the script with an error too: ``rm -r $dirname/$swfurl`` must not run with a part
missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .draft import Draft

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_REDIRECTION = re.compile(r"(\d?(?:>>|>|<)&?)(.*)", re.DOTALL)
_SPECIAL = re.compile(r'([\\"`$])')
_SHELLS = ("sh", "bash", "dash", "ash", "ksh")
_WRAPPERS = ("env", "nohup", "nice", "ionice", "setsid", "exec", "time", "timeout")  # they hand their environment on
_WRAPPED_ARGUMENT = re.compile(r"-\S+|\d+[smhd]?|[A-Za-z_]\w*=.*", re.DOTALL)
#: They make one text of their arguments for a shell, here or elsewhere, or may.
_BUILDERS = frozenset(
    "ssh su runuser flock script watch screen tmux at batch xargs parallel eval zsh csh tcsh fish rsh expect".split()
)
#: They read a program from their arguments.
_INTERPRETERS = re.compile(r"(?:python|perl|ruby|node|nodejs|php|lua|tclsh)[\d.]*|(?:[gm]?awk|sed)")
_CODE_OPTION = re.compile(r"-\w*[cerEn]|--eval|--execute")
_PLAIN_ARGUMENT = re.compile(r"[\w$./:@{}+,%=-]+")
_NESTED = re.compile(
    r"""(?:^|[\s;|&(`"'])(?:[\w.~-]*/)*
    (?:(?:ba|da|a|k|z|c|tc|fi)?sh|eval|source|\.|ssh|su|sudo|doas|runuser|xargs|parallel|flock|screen|tmux|watch|
    (?:python|perl|ruby|node|php|lua|g?awk|sed)[\d.]*)(?=[\s"'])""",
    re.VERBOSE,
)
_OF_THE_SYSTEM = ("HOME", "PATH", "LANG", "TZ", "PWD", "RANDOM", "IFS")
_SAFE = "A-Za-z0-9._/@:=+,%-"
_UNKNOWN = "has no equivalent in an event of rtmpd: the script ends with an error until you set it"


def add(
    draft: Draft, name: str, words: Sequence[str], variables: Mapping[str, str], where: str, exported: bool = False
) -> str:
    """Put a script that runs ``words`` into the draft and return its path, "" if the command cannot be carried over,
    which is noted.

    ``variables`` has the words of the shell that stand for the variables of the other server. ``exported`` is true
    where programs find them all in their environment.
    """
    if reason := _unsafe(words):
        text = f"{reason}: write a script that reads the environment instead"
        draft.absent(where, words[0] if words else "command", text)
        return ""
    at = _text_of_shell(words)
    text = words[at] if at else ""
    used = list(dict.fromkeys(one or other for word in words for one, other in _VARIABLE.findall(word)))
    if exported:
        used = list(dict.fromkeys([*variables, *used]))
    rows = ["#!/bin/sh", f"# From {' '.join(where.split())}. The event is in the environment: see docs/events.md."]
    rows += [f"{variable}={variables[variable]}" for variable in variables if variable in used]
    for unknown in [one for one in used if one not in variables and not _is_of_shell(one, text)]:
        draft.absent(where, f"${unknown}", _UNKNOWN)
        rows.append(f': "${{{unknown}:?{_UNKNOWN.partition(":")[0]}}}"')
    in_text = [one for one in variables if one in used and one in _names(text)]
    if exported or in_text:
        rows.append(f"export {' '.join(one for one in variables if one in used)}")
    if in_text:
        rows += _guard(in_text)
        draft.differs(where, words[0], "a name with characters that a shell reads otherwise ends it with an error")
    written = [_single(_visible(word)) if at and index == at else _word(word) for index, word in enumerate(words)]
    rows.append("exec " + " ".join(written))
    path = f"scripts/{name}.sh"
    draft.scripts[path] = "\n".join(rows) + "\n"
    return path


# --- what cannot be carried over ----------------------------------------------------------------------


def _unsafe(words: Sequence[str]) -> str:
    """Why a command would have names from the network in the text of an interpreter, "" if it would not."""
    if not words:
        return "there is no command"
    names = [word.rpartition("/")[2] for word in words]
    if _names(words[0]):
        return "a name from the network would choose the program"
    for index, name in enumerate(names if any(_names(word) for word in words) else ()):
        if name in _SHELLS:
            return _unsafe_shell(words, index)
        after = words[index + 1 :]
        if not any(_names(word) for word in after):
            continue
        if name in _BUILDERS:
            return f"{name} makes a text for a shell of its arguments"
        if _INTERPRETERS.fullmatch(name) and (_is_code(after) or (name.endswith(("awk", "sed")) and "-f" not in after)):
            return f"a name from the network would be in a program for {name}"
    return ""


def _unsafe_shell(words: Sequence[str], shell: int) -> str:
    before = words[:shell]
    wrapped = all(
        word.rpartition("/")[2] in _WRAPPERS or _WRAPPED_ARGUMENT.fullmatch(word) for word in before
    ) and not any(word in ("-i", "--ignore-environment", "-") for word in before)
    if not wrapped:
        return f"{words[0]} may not hand its environment on to the shell"
    at = _text_of_shell(words)
    if not at:
        script = next((word for word in words[shell + 1 :] if not word.startswith("-")), "")
        return "a name from the network would choose the program" if _names(script) else ""
    if _names(words[at]) and _NESTED.search(words[at]):
        return "the text has another shell or interpreter in it, which would get names from the network in its own text"
    return ""


def _text_of_shell(words: Sequence[str]) -> int:
    """Return the index of the text that a shell in ``words`` reads (``sh -c TEXT``), or 0."""
    shell = next((index for index, word in enumerate(words) if word.rpartition("/")[2] in _SHELLS), None)
    if shell is None:
        return 0
    reads_text = False
    at = shell + 1
    while at < len(words) and words[at][:1] in ("-", "+") and len(words[at]) > 1:
        option = words[at]
        reads_text |= "c" in option and not option.startswith("--")
        at += 2 if option in ("-o", "+o", "-O", "+O", "--rcfile", "--init-file") else 1
        if option == "--":
            break
    return at if reads_text and at < len(words) else 0


def _is_code(words: Sequence[str]) -> bool:
    for index, word in enumerate(words):
        if _names(word) and (
            not _PLAIN_ARGUMENT.fullmatch(word) or (index and _CODE_OPTION.fullmatch(words[index - 1]))
        ):
            return True
    return False


def _names(text: str) -> set[str]:
    return {one or other for one, other in _VARIABLE.findall(text)}


def _is_of_shell(name: str, text: str) -> bool:
    """Whether a variable is one that the system has, or that the shell's text sets itself."""
    return name in _OF_THE_SYSTEM or bool(re.search(rf"(?:\b{name}=|\b(?:for|read|local)\b[^;\n]*\b{name}\b)", text))


# --- writing ------------------------------------------------------------------------------------------


def _guard(names: Sequence[str]) -> list[str]:
    values = " ".join(f'"${{{name}}}"' for name in names)
    return [
        f"for value in {values}; do",
        '    case "$value" in',
        f'    -*|*[!{_SAFE}]*) echo "not run: a name has a character that a shell reads otherwise" >&2; exit 1 ;;',
        "    esac",
        "done",
    ]


def _visible(text: str) -> str:
    """A shell's text in which variables in single quotes are seen by the shell too: there the other server put
    values in before the shell read it."""
    written, quote, at = [], "", 0
    while at < len(text):
        sign = text[at]
        variable = _VARIABLE.match(text, at) if quote == "'" else None
        if variable:
            written.append(f"'\"{variable[0]}\"'")
            at = variable.end()
            continue
        if sign == "\\" and quote != "'":
            written.append(text[at : at + 2])
            at += 2
            continue
        if sign in "'\"" and quote in ("", sign):
            quote = "" if quote else sign
        written.append(sign)
        at += 1
    return "".join(written)


def _single(text: str) -> str:
    """A word in single quotes, in which nothing is read."""
    return "'" + text.replace("'", "'\\''") + "'"


def _word(word: str) -> str:
    """One word in double quotes, with its variables; a redirection keeps its sign."""
    redirection = _REDIRECTION.fullmatch(word)
    if redirection and redirection[1].endswith("&"):
        return word if redirection[2].isdigit() else f'{redirection[1]}"{_escaped(redirection[2])}"'
    if redirection and redirection[2]:
        return f"{redirection[1]}{_quoted(redirection[2])}"
    return word if redirection else _quoted(word)


def _quoted(text: str) -> str:
    parts, at = [], 0
    for match in _VARIABLE.finditer(text):
        parts += [_escaped(text[at : match.start()]), "${" + (match[1] or match[2]) + "}"]
        at = match.end()
    return '"' + "".join(parts) + _escaped(text[at:]) + '"'


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)
