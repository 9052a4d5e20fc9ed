//! The whole way on from a database of the PHP program's.
