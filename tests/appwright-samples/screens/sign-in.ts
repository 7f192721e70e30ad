import type { Device } from "appwright";

export async function signIn(device: Device, name = "ada") {
  await device.getById("user_name", { exact: true }).fill(name);
  await device.getByText("Sign in", { exact: true }).tap();
}
