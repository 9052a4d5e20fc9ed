-- 1: the hidden field of the form was filled in, as programs and some password managers do
ALTER TABLE registrations ADD COLUMN filled_hidden_field INTEGER NOT NULL DEFAULT 0;
