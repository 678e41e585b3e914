"""Where things last: files on the local disk or in a bucket; notes, locks and limits that processes share."""
