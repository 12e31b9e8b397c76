"""The record of a session: written beside the hop path by a process of its own.

layout     what is recorded: tables, types, units
ring       shared memory between the decoder and the recorder
record     the decoder's side; never waits
process    the recorder: ring to files
parts      files of raw rows that HDF5 reads
index      `session.h5`, put in place whole four times a second
markers    LSL marker streams, found and pulled by the recorder
reading    a session read back
nwb, wav   exports
"""
