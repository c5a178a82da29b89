"""`completion`: what shells need to ask ``complete``."""

from __future__ import annotations

from typing import Final

import click

_BASH: Final = r"""# bash completion of stackctl. Put into ~/.bashrc: source <(stackctl completion bash)
_stackctl() {
    local -a answer
    local line word
    mapfile -t answer < <("${COMP_WORDS[0]/#\~/$HOME}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    COMPREPLY=()
    case ${answer[0]} in
        files) compopt -o default; return ;;
        folders) compopt -o dirnames; return ;;
    esac
    for line in "${answer[@]:1}"; do
        word=${line%%$'\t'*}
        # bash has split at the equals sign, and wants what follows it.
        [[ $word == --*=* ]] && word=${word#*=}
        COMPREPLY+=("$word")
    done
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    return 0
}
complete -F _stackctl stackctl
"""
_ZSH: Final = r"""#compdef stackctl
# zsh completion of stackctl. Put into ~/.zshrc, after compinit: source <(stackctl completion zsh)
_stackctl() {
    local -a answer entries counts
    local line word
    answer=("${(@f)$("${(Q)words[1]/#\~/$HOME}" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    case ${answer[1]} in
        files) _files; return ;;
        folders) _files -/; return ;;
    esac
    for line in "${(@)answer[2,-1]}"; do
        [[ -z $line ]] && continue
        word=${${line%%$'\t'*}//:/\\:}
        if [[ $word == *= ]]; then counts+=("$word:${line#*$'\t'}"); else entries+=("$word:${line#*$'\t'}"); fi
    done
    (( $#entries )) && _describe -t words 'word' entries
    (( $#counts )) && _describe -t words 'word' counts -S ''
}
if [[ ${funcstack[1]} == _stackctl ]]; then _stackctl "$@"; else compdef _stackctl stackctl; fi
"""
_FISH: Final = r"""# fish completion of stackctl. Put into ~/.config/fish/config.fish: stackctl completion fish | source
function __stackctl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l command $words[1]
    set -e words[1]
    set -l answer ($command __complete $words "$current" 2>/dev/null)
    switch "$answer[1]"
        case files
            __fish_complete_path "$current"
        case folders
            __fish_complete_directories "$current"
        case '*'
            set -e answer[1]
            printf '%s\n' $answer
    end
end
complete -c stackctl -f -a '(__stackctl_complete)'
"""
_SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@click.command()
@click.argument("shell", type=click.Choice(tuple(_SCRIPTS)))
def completion(shell: str) -> None:
    """Print what makes a shell complete commands, options and service names.

    \b
    bash: source <(stackctl completion bash)         in ~/.bashrc
    zsh:  source <(stackctl completion zsh)          in ~/.zshrc, after compinit
    fish: stackctl completion fish | source          in ~/.config/fish/config.fish
    """
    click.echo(_SCRIPTS[shell], nl=False)
