-- What is written and deleted again to find out whether a disk that was full takes writes by now. Empty otherwise.
CREATE TABLE disk_probe (
    space BLOB NOT NULL
) STRICT;
