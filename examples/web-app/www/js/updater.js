// The app's side of a live update. The updater plugin waits for notifyAppReady()
// after it has started a new bundle; if it does not come within ten seconds, it
// goes back to the bundle before.
const CapacitorUpdater = globalThis.Capacitor?.Plugins?.CapacitorUpdater

// reportReady returns the version of the bundle that runs.
export async function reportReady() {
  if (!CapacitorUpdater) return 'in a browser'
  const { bundle } = await CapacitorUpdater.notifyAppReady()
  return bundle.version
}
