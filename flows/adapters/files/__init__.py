"""The first load: files of opening stock, lots, open orders, expected receipts and reference data, as events.

columns    what each kind of file says, column by column
numbers    which number a cell means, or that it could be two
rows       a CSV or JSON Lines file, line by line
facts      a line as the messages that a source would send
known      the reference data that Kafka holds
judge      whether the engine could use them: its own rules, without the engine
advice     what would do about what is wrong
report     what is said of it, for people and for scripts
places     where messages went
verdicts   what became of them
run        check everything, then send everything, then say what became of it
"""
