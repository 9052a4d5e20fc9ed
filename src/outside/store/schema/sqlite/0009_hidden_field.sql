-- 1: the field of the form that people do not see was filled in, as programs do, and some password managers
ALTER TABLE registrations ADD COLUMN filled_hidden_field INTEGER NOT NULL DEFAULT 0;
