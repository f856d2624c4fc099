# Completion of q for bash: source <(q completion bash)
_q_complete() {
    local line word="${COMP_WORDS[COMP_CWORD]}"
    COMPREPLY=()
    [[ $word == [=:]* ]] && word=""
    while IFS= read -r line; do
        case $line in
        :files | :dirs)
            local kind=-f file
            [[ $line == :dirs ]] && kind=-d
            compopt -o filenames 2>/dev/null
            while IFS= read -r file; do COMPREPLY+=("$file"); done < <(compgen "$kind" -- "$word")
            ;;
        *) COMPREPLY+=("$line") ;;
        esac
    done < <("${COMP_WORDS[0]}" complete bash "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _q_complete q
