#compdef q
# Completion of q for zsh: source <(q completion zsh)
_q() {
    local line name
    local -a found
    for line in "${(@f)$("${words[1]}" complete zsh "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
            (:files*) _files ;;
            (:dirs*) _files -/ ;;
            (?*)
                name=${line%%$'\t'*}
                found+=("${name//:/\\:}:${line#*$'\t'}")
                ;;
        esac
    done
    (( $#found )) && _describe -t q q found
}
if [[ $funcstack[1] == _q ]]; then
    _q "$@" # it was loaded from a file of fpath
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef _q q
fi
