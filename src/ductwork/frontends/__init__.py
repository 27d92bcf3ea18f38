"""Front ends translate words in and out; there is no networking logic here."""
