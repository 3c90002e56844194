"""The first load: files of opening stock, lots, open orders, expected receipts and reference data, as events.

columns    what each kind of file says, column by column
rows       a CSV or JSON Lines file, line by line
facts      a line as the messages that a source would send
judge      whether the engine could use them: its own rules, without the engine
run        check everything, then send everything
"""
