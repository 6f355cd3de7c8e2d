"""Do the tests see faults? Draws mutants of src/bitwright (cosmic-ray makes them) and runs each against the tests of its part.

    make mutants                            100 mutants, seed 0
    make mutants ARGS="--count 20 --seed 1 --only algorithms/correction"

A mutant is never written into the tree: an import hook serves its source, to the processes that tests start as well. A file is
drawn by its size, then a place in it, then what is done to it. What a mutant changes is told by the syntax tree without
annotations and docstrings; where that stays the same, another one is drawn. Survivors are printed as diffs: a test is missing,
or the change is none (only speed, or words).

What became of each is kept in build/mutants.jsonl, so that an interrupted run goes on where it was. `--kept survived` draws
none: it puts those that survived into today's sources, wherever their lines are now, and runs them again, after tests were
added. Of a mutant that ran out of time nobody knows more: it hangs, or the tests are long.
"""
