# Completion of q for fish: q completion fish | source
function __q_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    for line in ($words[1] complete fish $words[2..-1] "$word" 2>/dev/null)
        switch $line
            case ':files*'
                __fish_complete_path "$word"
            case ':dirs*'
                __fish_complete_directories "$word"
            case '*'
                echo $line
        end
    end
end
complete -c q -f -a '(__q_complete)'
