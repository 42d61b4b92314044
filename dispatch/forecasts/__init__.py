"""What is learned of plugs: how long sessions there last, when they are busy, how vehicles charge; and how well."""
