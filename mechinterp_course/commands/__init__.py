"""The commands of `mechinterp`, a module for each kind of person: they parse, call one function of a storey below, and print."""
