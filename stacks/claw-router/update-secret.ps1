<#
.SYNOPSIS
Replace or add one key on the server, restart the gateway with it, and wait until it is ready.

.DESCRIPTION
The value travels over ssh's stdin: it never stands on a command line of the server, in its logs or its history.
Leave -Value out to be asked for it; with -Value it stays in the history of this PowerShell.

Needed: ssh here (part of Windows since 10), and update-secret.remote.sh beside this file; on the server the stack of
docs/setup.md, and root or sudo without a password for -User. LMGW_SERVER, LMGW_USER and LMGW_SSH_KEY in the
environment stand for -Server, -User and -SshKey.

Where Windows does not run scripts: powershell -ExecutionPolicy Bypass -File .\update-secret.ps1 -BackendKey ...

.EXAMPLE
.\update-secret.ps1 -BackendKey ANTHROPIC_API_KEY -Server gateway.example.com -User admin

.EXAMPLE
$env:LMGW_SERVER = "gateway.example.com"
.\update-secret.ps1 -BackendKey ANTHROPIC_API_KEY -Value "sk-ant-..."
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][ValidateScript({ $_ -cmatch '^[A-Z][A-Z0-9_]*\z' })][string]$BackendKey,
    [string]$Value,
    [ValidatePattern('^[A-Za-z0-9_.:][A-Za-z0-9_.:-]*\z')][string]$Server = $env:LMGW_SERVER,
    [ValidatePattern('^([A-Za-z0-9_.][A-Za-z0-9_.-]*)?\z')][string]$User = $env:LMGW_USER,
    [string]$SshKey = $env:LMGW_SSH_KEY,
    [ValidateRange(1, 65535)][int]$Port = 22,
    [ValidatePattern('^/[A-Za-z0-9_./-]*\z')][string]$Directory = '/opt/stacks/lm-gateway',
    [ValidatePattern('^[A-Za-z0-9_][A-Za-z0-9_.-]*\z')][string]$Service = 'lm-gateway'
)
$ErrorActionPreference = 'Stop'
$PSNativeCommandUseErrorActionPreference = $false  # what ssh says, and its exit code, is enough

if (-not $Server) { throw 'Which server? -Server HOST, or $env:LMGW_SERVER' }
if ($PSBoundParameters.ContainsKey('Value')) {
    Write-Warning "The value now stands in this PowerShell's history; leave -Value out to be asked for it."
} else {
    $secure = Read-Host -AsSecureString -Prompt "Value of $BackendKey"
    $Value = [Net.NetworkCredential]::new('', $secure).Password
}
if (-not $Value) { throw 'The value is empty: nothing was changed' }
if ($Value -match '[\r\n\x00]') { throw 'The value has more than one line: nothing was changed' }

# ASCII alone goes through the pipe, whatever the encodings here are; a checkout on Windows may have made CRLF. The first
# line is empty: Windows PowerShell puts a byte order mark there where the console's code page is UTF-8.
$encoded = [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($Value))
$script = [IO.File]::ReadAllText((Join-Path $PSScriptRoot 'update-secret.remote.sh')).Replace("`r`n", "`n")
$text = "`nname=$BackendKey directory=$Directory service=$Service value_base64=$encoded`n$script"
$OutputEncoding = [Text.ASCIIEncoding]::new()

$target = if ($User) { "$User@$Server" } else { $Server }
$options = @('-T', '-p', "$Port")
if ($SshKey) { $options += @('-i', $SshKey) }
$text | & ssh @options -- $target '[ $(id -u) = 0 ] && exec sh -s; exec sudo -n sh -s'
exit $LASTEXITCODE
