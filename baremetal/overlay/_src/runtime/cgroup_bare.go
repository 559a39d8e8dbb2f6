package runtime

// There is one CPU, and no control group to share it with.

func defaultGOMAXPROCSInit()          {}
func defaultGOMAXPROCSUpdateGODEBUG() {}

func defaultGOMAXPROCS(ncpu int32) int32 { return max(ncpu, 1) }
