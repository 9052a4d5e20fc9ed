-- the operation_mode in which a request was approved; NULL: it is not, or an earlier version approved it
ALTER TABLE registrations ADD COLUMN approved_mode VARCHAR(64);
