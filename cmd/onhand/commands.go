package main

import (
	"slices"

	"github.com/spf13/cobra"
)

// commands are all commands of onhand, in the order of the help.
func commands(a *app) []*cobra.Command {
	return slices.Concat(
		grouped(groupSetup, newConfigCommand(a), newTopicsCommand(a), newSchemasCommand(a), newGraphCommand(a)),
		grouped(groupWork, newDevCommand(a), newRunCommand(a), newImportCommand(a), newReserveCommand(a), newTransferCommand(a), newFulfillCommand(a), newReleaseCommand(a), newDLQCommand(a), newSnapshotCommand(a), newRestoreCommand(a), newBenchCommand(a)),
		grouped(groupLook, newStatusCommand(a), newGetCommand(a), newWhyCommand(a), newWatchCommand(a), newAuditCommand(a), newVersionCommand(a)),
	)
}
