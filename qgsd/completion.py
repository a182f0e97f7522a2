# SPDX-License-Identifier: GPL-2.0-or-later
"""Completion in bash, zsh and fish: scripts, made by shtab of the same parsers that read the line.

What only a running instance knows (projects, slots) the script asks for when the key is pressed:
`COMMAND completion --live KIND LINE`, see `qgsd.control.live`.
"""

from __future__ import annotations

import argparse
from typing import Any

SHELLS = ("bash", "zsh", "fish")

LIVE = ("projects", "slots", "options", "instances")
"""What can be asked for."""

FILE, DIRECTORY = "file", "directory"

_BASH_LIVE = """\
_qgsd_live() {
  "${COMP_WORDS[0]}" completion --live "$1" "${COMP_LINE:0:COMP_POINT}" 2>/dev/null |
    while IFS= read -r candidate; do
      [[ "$candidate" == "$2"* ]] && printf '%q\\n' "$candidate"
    done
}"""

# Bash takes a:b and a=b for three words. Here they become one for shtab's function; bash then replaces what
# stands behind the last of these signs.
_BASH_WORDS = """

_qgsd_words_@NAME@() {
  local all=("${COMP_WORDS[@]}") upto=$COMP_CWORD number word sign joined=
  local COMP_WORDS=() COMP_CWORD=-1
  for ((number = 0; number <= upto; number++)); do
    word="${all[number]}"
    if [[ $COMP_CWORD -ge 0 && ( $joined || "$word" == [:=] || "$word" == :* ) ]]; then
      COMP_WORDS[COMP_CWORD]+="$word"
    else
      COMP_WORDS+=("$word"); COMP_CWORD=$((COMP_CWORD + 1))
    fi
    [[ "$word" == *[:=] ]] && joined=1 || joined=
  done
  _shtab_@NAME@
  word="${COMP_WORDS[COMP_CWORD]}"
  for sign in : =; do
    [[ "$COMP_WORDBREAKS" == *"$sign"* && "$word" == *"$sign"* ]] || continue
    COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*"$sign"}"}"}")
  done
}
complete -o bashdefault -F _qgsd_words_@NAME@ @PROG@
"""

_ZSH_LIVE = """\
_qgsd_live() {
  local -a candidates
  candidates=(${(f)"$($service completion --live $1 "$LBUFFER" 2>/dev/null)"})
  compadd -a candidates
}"""

_FISH_LIVE = """\
function _qgsd_live
    set -l command (commandline -poc)[1]
    $command completion --live $argv[1] (commandline -cp | string collect) 2>/dev/null
end"""


class Unavailable(Exception):
    """There is no completion for this shell here; the text says what to do."""


def offer(action: argparse.Action, kind: str) -> None:
    """Say what completes an argument: one of `LIVE`, `FILE` or `DIRECTORY`."""
    action.complete = _live(kind) if kind in LIVE else _ON_DISK[kind]  # type: ignore[attr-defined]


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of `completion`."""
    parser.add_argument("shell", nargs="?", choices=SHELLS, help="the shell to print a script for")
    parser.add_argument("--live", nargs=2, metavar=("KIND", "LINE"), help=argparse.SUPPRESS)


HELP = "print a script that completes this command line in bash, zsh or fish"

DESCRIPTION = """\
Print a script for the shell that completes commands, options and what a running instance knows.

  bash   eval "$(COMMAND completion bash)"      in ~/.bashrc
  zsh    eval "$(COMMAND completion zsh)"       in ~/.zshrc, behind compinit
  fish   COMMAND completion fish | source      in ~/.config/fish/config.fish"""


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The completion script for a command line. Raises `Unavailable`."""
    try:
        import shtab
    except ImportError:
        raise Unavailable("completion needs shtab: pip install shtab (Debian: python3-shtab)") from None
    if shell not in shtab.SUPPORTED_SHELLS:
        known = ", ".join(shtab.SUPPORTED_SHELLS)
        raise Unavailable(f"shtab {shtab.__version__} does not know {shell}, only {known}; a later one does")
    text: str = shtab.complete(parser, shell)
    if shell == "bash":
        text += _BASH_WORDS.replace("@NAME@", parser.prog).replace("@PROG@", parser.prog)
    return text + "\n"


def _live(kind: str) -> dict[str, Any]:
    wrapper = f"_qgsd_live_{kind}"
    return {
        "bash": wrapper,
        "zsh": wrapper,
        "fish": f"(_qgsd_live {kind})",
        "preamble": {
            "bash": f'{_BASH_LIVE}\n{wrapper}() {{ _qgsd_live {kind} "$1"; }}',
            "zsh": f"{_ZSH_LIVE}\n{wrapper}() {{ _qgsd_live {kind} }}",
            "fish": _FISH_LIVE,
        },
    }


# As shtab has them; written here so that declaring an argument does not import it.
_ON_DISK: dict[str, dict[str, str]] = {
    FILE: {
        "bash": "_shtab_compgen_files",
        "zsh": "_files",
        "fish": "(__fish_complete_path (commandline -ct))",
    },
    DIRECTORY: {
        "bash": "_shtab_compgen_dirs",
        "zsh": "_files -/",
        "fish": "(__fish_complete_directories)",
    },
}
